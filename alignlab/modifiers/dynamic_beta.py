"""A beta for each pair: pairs that a reward model tells clearly apart count more."""

from jaxtyping import Float
from torch import Tensor

from alignlab.losses.pairs import dynamic
from alignlab.objective.modified import Loss


def dynamic_beta(
    loss: Loss,
    chosen_rewards: Float[Tensor, "P"],
    rejected_rewards: Float[Tensor, "P"],
    *,
    beta: float = 0.1,
    w: float = 0.5,
    k: float = 0.5,
) -> Float[Tensor, "P"]:
    """The loss with MM-RLHF's beta, arXiv:2502.10391.

    loss at beta * (1 + w * (1 - exp(-k * delta))), at least 0.001, delta the chosen reward less the
    rejected. This `beta` stands for the loss's own, which is left
    unused. On `dpo` it is `mm_dpo`. Beside `label_smoothing`, list it after: the outermost modifier is
    the last, and both orders of a pair should share a beta.

    Raises ConfigError where the loss has no beta.
    """
    return loss(beta=dynamic.dynamic_beta(chosen_rewards - rejected_rewards, beta=beta, w=w, k=k))
