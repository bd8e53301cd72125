"""Efficient exact optimization on pairs: a reverse KL between two choices."""

import math

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from alignlab.objective.numeric import PerPair
from alignlab.settings import PositiveErrorRate


def exo(
    chosen_logratios: Float[Tensor, "P"],
    rejected_logratios: Float[Tensor, "P"],
    *,
    beta: PerPair = 0.1,
    epsilon: PositiveErrorRate = 0.001,
) -> Float[Tensor, "P"]:
    """Efficient exact optimization on pairs, arXiv:2402.00856.

    KL(q || p) between the policy's choice q = (sigmoid(m), sigmoid(-m)), where m = beta * (chosen_logratio -
    rejected_logratio), and the label's p = (1 - epsilon, epsilon).

    The loss is never below 0. The released code takes (0, -10) as the logarithm of p, which does not sum
    to 1: a constant less.

    >>> import torch
    >>> exo(torch.tensor([0.0]), torch.tensor([0.0]), epsilon=0.5)
    tensor([0.])
    """
    margins = beta * (chosen_logratios - rejected_logratios)
    chosen = margins.sigmoid() * (F.logsigmoid(margins) - math.log1p(-epsilon))
    rejected = (-margins).sigmoid() * (F.logsigmoid(-margins) - math.log(epsilon))
    return chosen + rejected
