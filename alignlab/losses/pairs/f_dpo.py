"""f-DPO: DPO under other divergences than the reverse KL."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from alignlab.errors import one_of
from alignlab.objective.numeric import MAX_EXPONENT, PerPair
from alignlab.settings import PositiveShare

DIVERGENCES = ("reverse_kl", "forward_kl", "js", "alpha")


def f_dpo(
    chosen_logratios: Float[Tensor, "P"],
    rejected_logratios: Float[Tensor, "P"],
    *,
    beta: PerPair = 0.1,
    divergence: str = "js",
    alpha: PositiveShare = 0.5,
) -> Float[Tensor, "P"]:
    """f-DPO, arXiv:2309.16240.

    -log sigmoid(beta * (f'(chosen) - f'(rejected))), f' of the ratio as a function of the log-ratio d: d
    for `reverse_kl`, -exp(-d) for `forward_kl`, log sigmoid(d) for `js`, and (1 - exp(-alpha * d)) /
    alpha, 0 < alpha <= 1, for `alpha`.

    With reverse_kl the loss is `dpo`, and so it is with a small alpha. Exponents end at 80: beyond that
    there is no gradient. Where the policy lost much of the reference's mass, forward KL explodes. Some
    libraries call 1 - alpha what is alpha here.

    Raises ConfigError on an unknown divergence.

    >>> import torch
    >>> f_dpo(torch.tensor([0.5]), torch.tensor([0.5]))
    tensor([0.6931])
    """
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
