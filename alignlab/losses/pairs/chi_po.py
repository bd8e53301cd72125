"""Chi-squared preference optimization: DPO with another link of the log-ratio."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from alignlab.objective.numeric import MAX_EXPONENT, PerPair
from alignlab.settings import PositiveNumber
from alignlab.types import Reports


def chi_po(
    chosen_logratios: Float[Tensor, "P"],
    rejected_logratios: Float[Tensor, "P"],
    *,
    beta: PerPair = 0.1,
    clip: PositiveNumber | None = 2.0,
) -> tuple[Float[Tensor, "P"], Reports]:
    """Chi-squared preference optimization, arXiv:2407.13399.

    -log sigmoid(clamp(m, -clip, clip)), m = beta * (phi(chosen) - phi(rejected)), with the link phi =
    ratio + log ratio.

    clip is twice the largest reward (null: none); beyond it a pair has no gradient, by design. Log-ratios
    near 0 make it `dpo` with 2 beta.

    Reports `clipped`, the share of pairs whose margin is beyond the clip.

    >>> import torch
    >>> chi_po(torch.tensor([0.01]), torch.tensor([-0.01]), beta=0.5)
    (tensor([0.6832]), {'clipped': tensor([False])})
    """
    ratios = [d.clamp(max=MAX_EXPONENT).expm1() for d in (chosen_logratios, rejected_logratios)]
    margins = beta * (ratios[0] - ratios[1] + chosen_logratios - rejected_logratios)
    kept = margins if clip is None else margins.clamp(-clip, clip)
    return -F.logsigmoid(kept), {"clipped": kept != margins}
