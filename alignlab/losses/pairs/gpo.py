"""General preference optimization: log-ratios regress on scores of a preference model."""

from jaxtyping import Float
from torch import Tensor

from alignlab.objective.numeric import PerPair
from alignlab.settings import PositiveNumber


def gpo(
    chosen_logratios: Float[Tensor, "P"],
    rejected_logratios: Float[Tensor, "P"],
    chosen_rewards: Float[Tensor, "P"],
    rejected_rewards: Float[Tensor, "P"],
    *,
    beta: PerPair = 0.001,
    clamp: PositiveNumber | None = None,
) -> Float[Tensor, "P"]:
    """General preference optimization, arXiv:2410.02197.

    ((chosen_logratio - s_chosen / beta)^2 + (rejected_logratio - s_rejected / beta)^2) / 2, where the
    rewards s are mean scores of a general preference model against samples of the policy.

    `clamp` bounds the targets s / beta (1000 in the authors' scripts). With s = P - 1/2 the loss is
    `sppo`.

    >>> import torch
    >>> one = torch.ones(1)
    >>> gpo(8 * one, -20 * one, one, -2 * one, beta=0.1)
    tensor([2.])
    """
    chosen, rejected = chosen_rewards / beta, rejected_rewards / beta
    if clamp is not None:
        chosen, rejected = chosen.clamp(-clamp, clamp), rejected.clamp(-clamp, clamp)
    return ((chosen_logratios - chosen).square() + (rejected_logratios - rejected).square()) / 2
