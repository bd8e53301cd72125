"""Sequence likelihood calibration: a hinge on log-probabilities, without a reference."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from alignlab.errors import one_of
from alignlab.objective.numeric import per_token
from alignlab.settings import NonNegative


def slic(
    chosen_logps: Float[Tensor, "P"],
    rejected_logps: Float[Tensor, "P"],
    chosen_lengths: Float[Tensor, "P"],
    rejected_lengths: Float[Tensor, "P"],
    *,
    delta: NonNegative = 1.0,
    lam: NonNegative = 0.0,
    aggregate: str = "sum",
) -> Float[Tensor, "P"]:
    """Sequence likelihood calibration, SLiC-HF, arXiv:2305.10425 eq. 1.

    max(0, delta - chosen_logp + rejected_logp) - lam * chosen_logp.

    `aggregate="mean"` divides the calibrated log-probabilities by their lengths, as the first SLiC did.
    With delta = 1 the loss is `rso_hinge` with gamma = 1 and a uniform reference.

    >>> import torch
    >>> one = torch.ones(1)
    >>> slic(-12.5 * one, -14 * one, one, one, delta=2.0)
    tensor([0.5000])
    """
    margins = chosen_logps - rejected_logps
    if one_of("aggregate", aggregate, ("sum", "mean")) == "mean":
        margins = per_token(chosen_logps, chosen_lengths) - per_token(rejected_logps, rejected_lengths)
    return F.relu(delta - margins) - lam * chosen_logps
