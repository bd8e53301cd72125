"""Every pair weighs as much as the policy would be likely to write its responses."""

from jaxtyping import Float
from torch import Tensor

from alignlab.losses.pairs.weighted import wpo_weights
from alignlab.objective.modified import Loss


def wpo(
    loss: Loss,
    chosen_logps: Float[Tensor, "P"],
    chosen_log_collisions: Float[Tensor, "P"],
    chosen_lengths: Float[Tensor, "P"],
    rejected_logps: Float[Tensor, "P"],
    rejected_log_collisions: Float[Tensor, "P"],
    rejected_lengths: Float[Tensor, "P"],
    *,
    clamp_max: float | None = 1.0,
) -> Float[Tensor, "P"]:
    """The loss times the weight of WPO, arXiv:2406.11827, through which no gradient flows.

    w(chosen) * w(rejected) * loss, with w(y) the exponential of the mean over tokens of
    log policy(y_t) - ln sum_v policy(v)^2. The product is clamped at `clamp_max` (null: unbounded). On
    `dpo` it is `wpo`, the objective.
    """
    weights = wpo_weights(
        chosen_logps,
        chosen_log_collisions,
        chosen_lengths,
        rejected_logps,
        rejected_log_collisions,
        rejected_lengths,
        clamp_max=clamp_max,
    )
    return weights * loss()
