"""Robust DPO: an unbiased loss where labels are flipped at a known rate."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from alignlab.objective.numeric import PerPair
from alignlab.settings import ErrorRateBelowHalf


def rdpo(
    chosen_logratios: Float[Tensor, "P"],
    rejected_logratios: Float[Tensor, "P"],
    *,
    beta: PerPair = 0.1,
    epsilon: ErrorRateBelowHalf = 0.1,
) -> Float[Tensor, "P"]:
    """Robust DPO, arXiv:2403.00409: unbiased where a share epsilon of the labels is flipped.

    [-(1 - epsilon) log sigmoid(m) + epsilon log sigmoid(-m)] / (1 - 2 epsilon), where m = beta *
    (chosen_logratio - rejected_logratio).

    The mean of the loss over flips is `dpo` on clean labels; with epsilon = 0 the loss is `dpo`. The
    gradient never vanishes and the loss has no lower bound: train briefly, and stop early.

    >>> import torch
    >>> rdpo(torch.tensor([0.5]), torch.tensor([-0.5]))
    tensor([0.6319])
    """
    margins = beta * (chosen_logratios - rejected_logratios)
    losses = epsilon * F.logsigmoid(-margins) - (1 - epsilon) * F.logsigmoid(margins)
    return losses / (1 - 2 * epsilon)
