"""Minor DPO: a rejected response is left alone below its reference."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from alignlab.objective.numeric import PerPair
from alignlab.types import Reports


def minor_dpo(
    chosen_logratios: Float[Tensor, "P"], rejected_logratios: Float[Tensor, "P"], *, beta: PerPair = 0.1
) -> tuple[Float[Tensor, "P"], Reports]:
    """Minor DPO, arXiv:2408.09834: a rejected response is pushed down only while above the reference.

    -log sigmoid(beta * (chosen_logratio - max(0, rejected_logratio))).

    Where the rejected log-ratio is positive the loss is `dpo`, and so is the first step: at 0 its
    gradient passes in full.

    Reports `spared`, the share of pairs whose rejected response is below its reference and pushed no further.

    >>> import torch
    >>> minor_dpo(torch.tensor([0.0]), torch.tensor([-3.0]))
    (tensor([0.6931]), {'spared': tensor([True])})
    """
    # clamp, not relu: at 0 the slope of clamp is 1
    losses = -F.logsigmoid(beta * (chosen_logratios - rejected_logratios.clamp(min=0)))
    return losses, {"spared": rejected_logratios < 0}
