"""Pairwise losses without a reference."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from alignlab.errors import one_of


def slic(
    chosen_logps: Float[Tensor, "P"],
    rejected_logps: Float[Tensor, "P"],
    chosen_lengths: Float[Tensor, "P"],
    rejected_lengths: Float[Tensor, "P"],
    *,
    delta: float = 1.0,
    lam: float = 0.0,
    aggregate: str = "sum",
) -> Float[Tensor, "P"]:
    """Sequence likelihood calibration, SLiC-HF, arXiv:2305.10425 eq. 1.

    max(0, delta - chosen_logp + rejected_logp) - lam * chosen_logp. `aggregate="mean"` divides the
    calibrated log-probabilities by their lengths, as the first SLiC did.

    >>> import torch
    >>> one = torch.ones(1)
    >>> slic(-12.5 * one, -14 * one, one, one, delta=2.0)
    tensor([0.5000])
    """
    margins = chosen_logps - rejected_logps
    if one_of("aggregate", aggregate, ("sum", "mean")) == "mean":
        margins = chosen_logps / chosen_lengths.clamp(min=1) - rejected_logps / rejected_lengths.clamp(min=1)
    return F.relu(delta - margins) - lam * chosen_logps


def simpo(
    chosen_logps: Float[Tensor, "P"],
    rejected_logps: Float[Tensor, "P"],
    chosen_lengths: Float[Tensor, "P"],
    rejected_lengths: Float[Tensor, "P"],
    *,
    beta: float = 2.0,
    gamma: float = 1.0,
) -> Float[Tensor, "P"]:
    """Simple preference optimization, arXiv:2405.14734 eq. 6.

    -log sigmoid(beta * (chosen_logp / chosen_length - rejected_logp / rejected_length) - gamma).
    The released code's `gamma_beta_ratio` is gamma / beta.

    >>> import torch
    >>> simpo(torch.tensor([-10.0]), torch.tensor([-24.0]), torch.tensor([10.0]), torch.tensor([12.0]))
    tensor([0.3133])
    """
    chosen = chosen_logps / chosen_lengths.clamp(min=1)
    rejected = rejected_logps / rejected_lengths.clamp(min=1)
    return -F.logsigmoid(beta * (chosen - rejected) - gamma)
