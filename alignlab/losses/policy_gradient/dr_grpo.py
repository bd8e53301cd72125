"""Dr. GRPO: GRPO without its two divisions, by the spread of a list's rewards and by a response's length."""

from jaxtyping import Bool, Float
from torch import Tensor

from alignlab.losses.policy_gradient.advantages import to_mean
from alignlab.losses.policy_gradient.ratios import Counted, clipped_tokens, present, summed
from alignlab.settings import NonNegative, Positive, ShareBelowOne
from alignlab.types import Reports


def dr_grpo(
    token_logps: Float[Tensor, "B K L"],
    token_old_logps: Float[Tensor, "B K L"],
    rewards: Float[Tensor, "B K"],
    where: Bool[Tensor, "B K"],
    token_where: Bool[Tensor, "B K L"],
    token_weights: Float[Tensor, "B K L"],
    *,
    epsilon_low: ShareBelowOne = 0.2,
    epsilon_high: NonNegative = 0.2,
    length: Positive = 64,
) -> tuple[Counted, Reports]:
    """GRPO done right, arXiv:2503.20783.

    sum over tokens of -min(ratio * A, clip(ratio, 1 - epsilon_low, 1 + epsilon_high) * A) / length, with
    A = reward - mean of the list.

    `length` is one number for all responses, the longest that may be drawn, so that long bad responses are not held
    back less than short ones. The mean is over responses, those of lists of equal rewards included. Where nothing
    moved since the drawing the loss of responses of one length reads 0, and its gradient is not 0.

    Reports `clipped`, the share of tokens whose gradient the clip takes away.
    """
    advantages = to_mean(rewards, where, std="none")[..., None]
    values, reports = clipped_tokens(
        token_logps, token_old_logps, advantages, token_where, epsilon_low, epsilon_high
    )
    sums = summed(token_weights * values, token_where) / length
    return (sums, present(token_where, sums)), reports
