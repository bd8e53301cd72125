"""DiscoPOP, a pairwise loss found by search."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from alignlab.objective.numeric import MAX_EXPONENT, PerPair
from alignlab.settings import PositiveNumber
from alignlab.types import Reports


def discopop(
    chosen_logratios: Float[Tensor, "P"],
    rejected_logratios: Float[Tensor, "P"],
    *,
    beta: PerPair = 0.05,
    tau: PositiveNumber = 0.05,
) -> tuple[Float[Tensor, "P"], Reports]:
    """Discovered preference optimization, the log-ratio modulated loss, arXiv:2406.08414.

    (1 - g) * -log sigmoid(m) + g * exp(-m), where m = beta * (chosen_logratio - rejected_logratio) and
    the gate g = sigmoid(m / tau), which carries gradient.

    The loss is not convex: around m = 0 it has a hump. A large tau makes it the mean of the logistic and
    the exponential loss.

    Reports `gate`, the mean of g.

    >>> import torch
    >>> discopop(torch.tensor([0.0]), torch.tensor([0.0]))
    (tensor([0.8466]), {'gate': tensor([0.5000])})
    """
    margins = beta * (chosen_logratios - rejected_logratios)
    logistic = (-margins / tau).sigmoid() * -F.logsigmoid(margins)
    # gate and exponential in one exponent: apart, they are 0 * inf for a large negative margin
    exponential = (F.logsigmoid(margins / tau) - margins).clamp(max=MAX_EXPONENT).exp()
    return logistic + exponential, {"gate": (margins / tau).sigmoid()}
