"""SimPER: the difference of inverse perplexities, without a hyper-parameter."""

from jaxtyping import Float
from torch import Tensor

from alignlab.objective.numeric import per_token


def simper(
    chosen_logps: Float[Tensor, "P"],
    rejected_logps: Float[Tensor, "P"],
    chosen_lengths: Float[Tensor, "P"],
    rejected_lengths: Float[Tensor, "P"],
) -> Float[Tensor, "P"]:
    """SimPER, arXiv:2502.00883.

    exp(rejected_logp / rejected_length) - exp(chosen_logp / chosen_length): the inverse perplexity of the chosen
    response is raised, that of the rejected one lowered. The loss lies between -1 and 1.

    >>> import torch
    >>> simper(torch.tensor([-2.0]), torch.tensor([-8.0]), torch.tensor([2.0]), torch.tensor([4.0]))
    tensor([-0.2325])
    """
    chosen = per_token(chosen_logps, chosen_lengths)
    rejected = per_token(rejected_logps, rejected_lengths)
    return rejected.exp() - chosen.exp()
