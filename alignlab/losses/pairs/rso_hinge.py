"""The hinge loss of RSO, with a reference."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from alignlab.settings import PositiveNumber


def rso_hinge(
    chosen_logratios: Float[Tensor, "P"],
    rejected_logratios: Float[Tensor, "P"],
    *,
    gamma: PositiveNumber = 0.05,
) -> Float[Tensor, "P"]:
    """Hinge on normalized likelihoods: the hinge-norm loss of RSO, arXiv:2309.06657.

    max(0, 1 - gamma * h), where h = chosen_logratio - rejected_logratio, in nats; gamma plays the part of
    DPO's beta.

    A pair beyond the margin (h > 1 / gamma) has no gradient. The paper's sigmoid-norm loss is here called
    `dpo` (beta = gamma), its hinge without a reference `slic`.

    >>> import torch
    >>> rso_hinge(torch.tensor([0.5]), torch.tensor([-0.5]), gamma=0.5)
    tensor([0.5000])
    """
    return F.relu(1 - gamma * (chosen_logratios - rejected_logratios))
