"""Length-normalized DPO: log-ratios are means over tokens."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from alignlab.objective.numeric import PerPair, per_token


def ln_dpo(
    chosen_logratios: Float[Tensor, "P"],
    rejected_logratios: Float[Tensor, "P"],
    chosen_lengths: Float[Tensor, "P"],
    rejected_lengths: Float[Tensor, "P"],
    *,
    beta: PerPair = 2.0,
) -> Float[Tensor, "P"]:
    """Length-normalized DPO, arXiv:2407.15229.

    -log sigmoid(beta * (chosen_logratio / chosen_length - rejected_logratio / rejected_length)).

    beta is larger than that of `dpo` by some mean length: 1 to 10. Where all lengths are 1 the loss is
    `dpo`.

    >>> import torch
    >>> ln_dpo(torch.tensor([5.0]), torch.tensor([-6.0]), torch.tensor([10.0]), torch.tensor([12.0]))
    tensor([0.1269])
    """
    chosen = per_token(chosen_logratios, chosen_lengths)
    rejected = per_token(rejected_logratios, rejected_lengths)
    return -F.logsigmoid(beta * (chosen - rejected))
