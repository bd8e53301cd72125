"""Hybrid DPO: the reference counts only where it prefers the chosen response."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from alignlab.objective.numeric import PerPair
from alignlab.types import Reports


def hybrid_dpo(
    chosen_logps: Float[Tensor, "P"],
    rejected_logps: Float[Tensor, "P"],
    chosen_ref_logps: Float[Tensor, "P"],
    rejected_ref_logps: Float[Tensor, "P"],
    *,
    beta: PerPair = 0.1,
) -> tuple[Float[Tensor, "P"], Reports]:
    """Hybrid DPO, arXiv:2602.11902.

    -log sigmoid(beta * (D - max(0, D_ref))), where D = chosen_logp - rejected_logp of the policy and D_ref is that of
    the reference, in nats.

    Where the reference prefers the chosen response the loss is `dpo`; elsewhere the reference is ignored, so that the
    policy does not stop once it is merely less wrong.

    Reports `reference_used`, the share of pairs in which the reference prefers the chosen response.

    >>> import torch
    >>> low, high = torch.tensor([-2.0]), torch.tensor([-1.0])
    >>> hybrid_dpo(low, low, low, high), hybrid_dpo(high, low, high, low)
    ((tensor([0.6931]), {'reference_used': tensor([False])}), (tensor([0.6931]), {'reference_used': tensor([True])}))
    """
    margins = chosen_logps - rejected_logps
    reference = (chosen_ref_logps - rejected_ref_logps).clamp(min=0)
    return -F.logsigmoid(beta * (margins - reference)), {"reference_used": reference > 0}
