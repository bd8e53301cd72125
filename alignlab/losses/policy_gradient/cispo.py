"""CISPO: REINFORCE at each token, weighted by a ratio that is capped and has no gradient."""

from jaxtyping import Bool, Float
from torch import Tensor

from alignlab.losses.policy_gradient.advantages import Std, to_mean
from alignlab.losses.policy_gradient.ratios import Counted, ratio, summed, token_counts
from alignlab.settings import NonNegative
from alignlab.types import Reports


def cispo(
    token_logps: Float[Tensor, "B K L"],
    token_old_logps: Float[Tensor, "B K L"],
    rewards: Float[Tensor, "B K"],
    where: Bool[Tensor, "B K"],
    token_where: Bool[Tensor, "B K L"],
    token_weights: Float[Tensor, "B K L"],
    *,
    epsilon_high: NonNegative = 4.0,
    std: Std = "sample",
) -> tuple[Counted, Reports]:
    """Clipped importance sampling weights, MiniMax-M1, arXiv:2506.13585.

    -min(ratio, 1 + epsilon_high) * A * log-probability at each token, with no gradient through the ratio, A as in GRPO,
    and the mean over all tokens of the step.

    No token loses its gradient. Lists of equal rewards have A = 0, and their tokens count. TRL's hyper-parameter is the
    cap itself, 1 + epsilon_high.

    Reports `capped`, the share of tokens whose ratio is above the cap.
    """
    ratios, cap = ratio((token_logps - token_old_logps).detach()), 1 + epsilon_high
    values = -ratios.clamp(max=cap) * to_mean(rewards, where, std=std)[..., None] * token_logps
    counts = token_counts(token_where, values)
    capped = summed((ratios > cap).to(values.dtype), token_where)
    return (summed(token_weights * values, token_where), counts), {"capped": (capped, counts)}
