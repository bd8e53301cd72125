"""Pairwise losses for other divergences than the reverse KL: another link of the log-ratio."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from alignlab.errors import one_of
from alignlab.objective.numeric import MAX_EXPONENT, PerPair, expect

DIVERGENCES = ("reverse_kl", "forward_kl", "js", "alpha")


def f_dpo(
    chosen_logratios: Float[Tensor, "P"],
    rejected_logratios: Float[Tensor, "P"],
    *,
    beta: PerPair = 0.1,
    divergence: str = "js",
    alpha: float = 0.5,
) -> Float[Tensor, "P"]:
    """f-DPO, arXiv:2309.16240.

    -log sigmoid(beta * (f'(chosen) - f'(rejected))), f' of the ratio as a function of the log-ratio d:

    - `reverse_kl`: d
    - `forward_kl`: -exp(-d)
    - `js`: log sigmoid(d)
    - `alpha`: (1 - exp(-alpha * d)) / alpha, 0 < alpha <= 1

    With reverse_kl it is `dpo`, and so it is with a small alpha. Exponents end at 80: beyond that there
    is no gradient. Where the policy lost much of the reference's mass, forward KL explodes. Some
    libraries call 1 - alpha what is alpha here.

    Raises ConfigError on an unknown divergence, and on an alpha out of range.

    >>> import torch
    >>> f_dpo(torch.tensor([0.5]), torch.tensor([0.5]))
    tensor([0.6931])
    """
    expect(0 < alpha <= 1, "alpha", alpha, "0 < alpha <= 1")
    chosen, rejected = (_link(d, divergence, alpha) for d in (chosen_logratios, rejected_logratios))
    return -F.logsigmoid(beta * (chosen - rejected))


def _link(logratios: Tensor, divergence: str, alpha: float) -> Tensor:
    """f' up to a constant, which the difference of both sides cancels."""
    if one_of("divergence", divergence, DIVERGENCES) == "js":
        return F.logsigmoid(logratios)
    if divergence == "reverse_kl":
        return logratios
    alpha = 1.0 if divergence == "forward_kl" else alpha
    return -(-alpha * logratios).clamp(max=MAX_EXPONENT).expm1() / alpha


def chi_po(
    chosen_logratios: Float[Tensor, "P"],
    rejected_logratios: Float[Tensor, "P"],
    *,
    beta: PerPair = 0.1,
    clip: float | None = 2.0,
) -> Float[Tensor, "P"]:
    """Chi-squared preference optimization, arXiv:2407.13399.

    -log sigmoid(clamp(m, -clip, clip)), m = beta * (phi(chosen) - phi(rejected)), with the link
    phi = ratio + log ratio. clip is twice the largest reward (null: none); beyond it a pair has no
    gradient, by design. Log-ratios near 0 make it `dpo` with 2 beta.

    >>> import torch
    >>> chi_po(torch.tensor([0.01]), torch.tensor([-0.01]), beta=0.5)
    tensor([0.6832])
    """
    ratios = [d.clamp(max=MAX_EXPONENT).expm1() for d in (chosen_logratios, rejected_logratios)]
    margins = beta * (ratios[0] - ratios[1] + chosen_logratios - rejected_logratios)
    return -F.logsigmoid(margins if clip is None else margins.clamp(-clip, clip))
