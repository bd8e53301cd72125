"""DPO-positive: DPO with a penalty on chosen responses that fell below the reference."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from alignlab.errors import one_of
from alignlab.objective.numeric import PerPair
from alignlab.settings import NonNegative
from alignlab.types import Reports


def dpop(
    chosen_logratios: Float[Tensor, "P"],
    rejected_logratios: Float[Tensor, "P"],
    *,
    beta: PerPair = 0.3,
    lam: NonNegative = 50.0,
    penalty: str = "inside",
) -> tuple[Float[Tensor, "P"], Reports]:
    """DPO-positive, Smaug, arXiv:2402.13228.

    -log sigmoid(beta * (h - lam * max(0, -chosen_logratio))), where h = chosen_logratio -
    rejected_logratio.

    `penalty="outside"` adds lam * max(0, -chosen_logratio) to the DPO loss instead, as some ports do.
    With lam = 0 the loss is `dpo`, and so is its first step, where policy and reference are equal. The
    penalty multiplies the gradient of a chosen response that fell by 1 + lam: where 50 diverges, try 1 to
    10.

    Reports `fallen`, the nats that a chosen response has lost against the reference, max(0, -chosen_logratio).

    >>> import torch
    >>> dpop(torch.tensor([-0.5]), torch.tensor([-1.5]), lam=2.0)
    (tensor([0.6931]), {'fallen': tensor([0.5000])})
    """
    fallen = F.relu(-chosen_logratios)
    margins = chosen_logratios - rejected_logratios
    if one_of("penalty", penalty, ("inside", "outside")) == "inside":
        losses = -F.logsigmoid(beta * (margins - lam * fallen))
    else:
        losses = -F.logsigmoid(beta * margins) + lam * fallen
    return losses, {"fallen": fallen}
