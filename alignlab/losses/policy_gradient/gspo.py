"""GSPO: the clip on whole responses, by the mean of their tokens' log-ratios."""

from jaxtyping import Bool, Float
from torch import Tensor

from alignlab.losses.policy_gradient.advantages import Std, to_mean
from alignlab.losses.policy_gradient.ratios import Counted, clipped, present, ratio, summed, token_counts
from alignlab.settings import NonNegative, ShareBelowOne


def gspo(
    token_logps: Float[Tensor, "B K L"],
    token_old_logps: Float[Tensor, "B K L"],
    rewards: Float[Tensor, "B K"],
    where: Bool[Tensor, "B K"],
    token_where: Bool[Tensor, "B K L"],
    token_weights: Float[Tensor, "B K L"],
    *,
    epsilon_low: ShareBelowOne = 3e-4,
    epsilon_high: NonNegative = 4e-4,
    std: Std = "sample",
) -> Counted:
    """Group sequence policy optimization, arXiv:2507.18071.

    -min(s * A, clip(s, 1 - epsilon_low, 1 + epsilon_high) * A), with s = exp(mean over tokens of log-ratios to the
    policy at the time of drawing) and A as in GRPO.

    The mean is over responses, those of lists of equal rewards included. A response weighs the mean of its tokens'
    weights: beside `truncated_is`, take `level=sequence_mean`. Where nothing moved since the drawing the loss reads 0,
    as the advantages of a list sum to 0: its gradient is not 0.
    """
    tokens, counted = token_counts(token_where, token_logps).clamp(min=1), present(token_where, token_logps)
    ratios = ratio(summed(token_logps - token_old_logps, token_where) / tokens)
    weights = counted * summed(token_weights, token_where) / tokens
    return weights * clipped(ratios, to_mean(rewards, where, std=std), epsilon_low, epsilon_high), counted
