"""DAPO: GRPO over all tokens alike, with more room above the clip, and without lists that teach nothing."""

from typing import Literal

from jaxtyping import Bool, Float
from torch import Tensor

from alignlab.losses.lists.masked_lists import is_tied
from alignlab.losses.policy_gradient.advantages import Std, to_mean
from alignlab.losses.policy_gradient.ratios import Counted, clipped_tokens, summed, token_counts
from alignlab.settings import NonNegative, PositiveNumber, ShareBelowOne
from alignlab.types import Reports


def dapo(
    token_logps: Float[Tensor, "B K L"],
    token_old_logps: Float[Tensor, "B K L"],
    rewards: Float[Tensor, "B K"],
    lengths: Float[Tensor, "B K"],
    where: Bool[Tensor, "B K"],
    token_where: Bool[Tensor, "B K L"],
    token_weights: Float[Tensor, "B K L"],
    *,
    epsilon_low: ShareBelowOne = 0.2,
    epsilon_high: NonNegative = 0.28,
    std: Std = "sample",
    tied: Literal["drop", "keep"] = "drop",
    longest: PositiveNumber | None = None,
    cache: PositiveNumber = 16.0,
) -> tuple[Counted, Reports]:
    """Decoupled clip and dynamic sampling, arXiv:2503.14476.

    -min(ratio * A, clip(ratio, 1 - epsilon_low, 1 + epsilon_high) * A) at each token, with A as in GRPO, and the mean
    over all tokens of the step.

    The tokens of lists of equal rewards do not count, unless `tied=keep`. `longest` is the length from which a response
    is too long: over the last `cache` tokens before it the reward falls by up to 1, and stays there (eq. 13). Where
    nothing moved since the drawing the loss of responses of one length reads 0, and its gradient is not 0.

    Reports `clipped`, the share of tokens whose gradient the clip takes away.
    """
    if longest is not None:
        rewards = rewards + overlong(lengths, longest=longest, cache=cache)
    advantages = to_mean(rewards, where, std=std)[..., None]
    if tied == "drop":
        token_where = token_where & ~is_tied(rewards, where)[..., None]
    values, reports = clipped_tokens(
        token_logps, token_old_logps, advantages, token_where, epsilon_low, epsilon_high
    )
    return (summed(token_weights * values, token_where), token_counts(token_where, values)), reports


def overlong(lengths: Float[Tensor, "*shape"], *, longest: float, cache: float) -> Float[Tensor, "*shape"]:
    """What is added to the reward of a long response: 0 up to `longest - cache` tokens, then linear, -1 from `longest`.

    >>> import torch
    >>> overlong(torch.tensor([3.0, 5.0, 9.0]), longest=6, cache=2)
    tensor([ 0.0000, -0.5000, -1.0000])
    """
    return ((longest - cache - lengths) / cache).clamp(-1, 0)
