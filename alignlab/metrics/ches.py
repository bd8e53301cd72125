"""CHES: how much the hidden states of chosen and rejected overlap, arXiv:2410.08847.

Pairs of a high score suffer likelihood displacement when trained on. Hidden states are final ones (behind
the last norm) where the tokens of a response are predicted: from the last token of the prompt to the one
before the last of the response, so there are as many as the response has tokens.
"""

from jaxtyping import Float
from torch import Tensor


def ches(chosen: Float[Tensor, "*P D"], rejected: Float[Tensor, "*P D"]) -> Float[Tensor, "*P"]:
    """<s+, s-> - |s+|^2 for the sums s of hidden states; for their means it is the length-normalized score.

    >>> import torch
    >>> ches(torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0, 0.0]]))
    tensor([-4.])
    """
    return (chosen * rejected).sum(-1) - chosen.square().sum(-1)
