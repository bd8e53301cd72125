"""Length-regularized DPO: the margin holds the difference of lengths."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from alignlab.objective.numeric import PerPair
from alignlab.settings import AnyNumber
from alignlab.types import Reports


def r_dpo(
    chosen_logratios: Float[Tensor, "P"],
    rejected_logratios: Float[Tensor, "P"],
    chosen_lengths: Float[Tensor, "P"],
    rejected_lengths: Float[Tensor, "P"],
    *,
    beta: PerPair = 0.1,
    alpha: AnyNumber = 0.02,
) -> tuple[Float[Tensor, "P"], Reports]:
    """Length-regularized DPO, arXiv:2403.19159 eq. 9.

    -log sigmoid(beta * h + alpha * (chosen_length - rejected_length)), where h = chosen_logratio -
    rejected_logratio; alpha per token.

    A longer chosen response has a smaller loss, so it is pushed less. With alpha = 0 the loss is `dpo`;
    `dpo` with `regularizers=[length]` at weight alpha / beta is the same loss. Iterated over rounds it is
    iLR-DPO, arXiv:2406.11817.

    Reports `length_margin`, alpha * (chosen_length - rejected_length).

    >>> import torch
    >>> r_dpo(torch.tensor([1.0]), torch.tensor([0.0]), torch.tensor([5.0]), torch.tensor([10.0]))
    (tensor([0.6931]), {'length_margin': tensor([-0.1000])})
    """
    longer = alpha * (chosen_lengths - rejected_lengths)
    losses = -F.logsigmoid(beta * (chosen_logratios - rejected_logratios) + longer)
    return losses, {"length_margin": longer}
