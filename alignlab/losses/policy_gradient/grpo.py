"""GRPO: PPO's clipped loss of tokens, with advantages from the rewards of the list and no value model."""

from collections.abc import Callable
from functools import partial
from typing import Literal

from jaxtyping import Bool, Float
from torch import Tensor

from alignlab.losses.policy_gradient.advantages import Std, to_mean
from alignlab.losses.policy_gradient.ratios import (
    Counted,
    clipped_tokens,
    present,
    summed,
    token_counts,
)
from alignlab.objective.numeric import k3
from alignlab.settings import NonNegative, ShareBelowOne
from alignlab.types import Reports

Over = Literal["responses", "lists", "tokens"]
"""What the mean of the step is over: a mean over tokens first for each response, or all tokens alike."""
Reported = tuple[Counted, Reports]


def grpo(
    *,
    epsilon_low: ShareBelowOne = 0.2,
    epsilon_high: NonNegative = 0.2,
    beta: NonNegative = 0.04,
    std: Std = "sample",
    over: Over = "responses",
) -> Callable[..., Reported]:
    """Group relative policy optimization, arXiv:2402.03300.

    mean over tokens of -min(ratio * A, clip(ratio, 1 - epsilon_low, 1 + epsilon_high) * A) + beta * k3, with ratio the
    token's probability to that at the time of drawing, A = (reward - mean of the list) / (std of the list + 1e-4), and
    k3 the estimated divergence from the reference.

    The mean over responses is over all of the step, those of lists of equal rewards included, which have A = 0.
    `over=lists` takes the mean of each list first, `over=tokens` the mean over all tokens of the step. `std` is over
    n - 1 (sample) or n responses (population), or is left out. With beta = 0 there is no reference. Where nothing moved
    since the drawing every ratio is 1, and the first term reads 0 whatever the rewards, as the advantages of a list sum
    to 0: its gradient is not 0. Watch the reward of samples instead.

    Reports `clipped`, the share of tokens whose gradient the clip takes away.
    """
    loss = partial(with_reference, beta=beta) if beta else alone
    return partial(loss, epsilon_low=epsilon_low, epsilon_high=epsilon_high, std=std, over=over)


def alone(
    token_logps: Float[Tensor, "B K L"],
    token_old_logps: Float[Tensor, "B K L"],
    rewards: Float[Tensor, "B K"],
    where: Bool[Tensor, "B K"],
    token_where: Bool[Tensor, "B K L"],
    token_weights: Float[Tensor, "B K L"],
    *,
    epsilon_low: float,
    epsilon_high: float,
    std: Std,
    over: Over,
) -> Reported:
    """The loss without a reference."""
    advantages = to_mean(rewards, where, std=std)[..., None]
    values, reports = clipped_tokens(
        token_logps, token_old_logps, advantages, token_where, epsilon_low, epsilon_high
    )
    return averaged(token_weights * values, token_where, over), reports


def with_reference(
    token_logps: Float[Tensor, "B K L"],
    token_old_logps: Float[Tensor, "B K L"],
    token_ref_logps: Float[Tensor, "B K L"],
    rewards: Float[Tensor, "B K"],
    where: Bool[Tensor, "B K"],
    token_where: Bool[Tensor, "B K L"],
    token_weights: Float[Tensor, "B K L"],
    *,
    epsilon_low: float,
    epsilon_high: float,
    beta: float,
    std: Std,
    over: Over,
) -> Reported:
    """The loss with the estimated divergence from the reference, outside clip and weights."""
    advantages = to_mean(rewards, where, std=std)[..., None]
    values, reports = clipped_tokens(
        token_logps, token_old_logps, advantages, token_where, epsilon_low, epsilon_high
    )
    distances = beta * k3(token_logps - token_ref_logps)
    return averaged(token_weights * values + distances, token_where, over), reports


def averaged(values: Float[Tensor, "B K L"], token_where: Bool[Tensor, "B K L"], over: Over) -> Counted:
    """The values of responses from those of their tokens, with what each counts."""
    sums, tokens = summed(values, token_where), token_counts(token_where, values)
    if over == "tokens":
        return sums, tokens
    counted = present(token_where, values)
    if over == "lists":
        counted = counted / counted.sum(dim=1, keepdim=True).clamp(min=1)
    return counted * sums / tokens.clamp(min=1), counted
