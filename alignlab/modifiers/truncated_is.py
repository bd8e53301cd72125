"""Truncated importance sampling: tokens weigh as much more under the trained policy as under the one that drew them."""

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from alignlab.errors import ConfigError
from alignlab.objective.modified import Loss
from alignlab.settings import PositiveNumber
from alignlab.types import Reports

Level = Literal["token", "sequence", "sequence_mean"]
Weighted = tuple[tuple[Tensor, Tensor | None], Reports]


def truncated_is(
    *,
    level: Level = "token",
    cap: PositiveNumber = 2.0,
    low: PositiveNumber | None = None,
    high: PositiveNumber | None = None,
    scores: Literal["old", "policy"] = "old",
) -> Callable[..., Weighted]:
    """Truncated importance weights, IMPALA, arXiv:1802.01561: any policy gradient, where the sampler is not the policy.

    loss with tokens that weigh min(exp(log pi_old - log pi_drawn), cap), where pi_old is the policy as the trainer
    scored it at the time of drawing, and pi_drawn the distribution that the sampler drew from.

    A server samples in other precision, or with weights some steps old. `level=sequence` takes the exponential of the
    sum over a response, `sequence_mean` of the mean (for `gspo`). Ratios below `low` or above `high` reject a token (or
    response), which then leaves the denominators too. `scores=policy` takes the policy of now, without gradient, for a
    loss that has no ratio of its own; what is rejected has to be known before, so that it goes without `low` and
    `high`.

    Reports `weight`, the mean weight of tokens that count, and `rejected`, the share of tokens that do not.

    Raises ConfigError where options do not go together, or the loss takes no token weights.
    """
    if scores == "old":
        return partial(by_old, level=level, cap=cap, low=low, high=high)
    if low is not None or high is not None:
        raise ConfigError(
            "scores=policy is known after the forward alone: drop low and high, or set scores=old"
        )
    return partial(by_policy, level=level, cap=cap)


def by_old(
    loss: Loss,
    token_old_logps: Float[Tensor, "B K L"],
    token_behavior_logps: Float[Tensor, "B K L"],
    token_where: Bool[Tensor, "B K L"],
    *,
    level: Level,
    cap: float,
    low: float | None,
    high: float | None,
) -> Weighted:
    """The loss with weights, and a mask, that are data."""
    logs = of_level(token_old_logps - token_behavior_logps, token_where, level)
    stay = token_where
    if low is not None:
        stay = stay & (logs.exp() >= low)
    if high is not None:
        stay = stay & (logs.exp() <= high)
    return weighted(loss, logs, cap, token_where, stay)


def by_policy(
    loss: Loss,
    token_logps: Float[Tensor, "B K L"],
    token_behavior_logps: Float[Tensor, "B K L"],
    token_where: Bool[Tensor, "B K L"],
    *,
    level: Level,
    cap: float,
) -> Weighted:
    """The loss with the weights of the policy of now."""
    if loss.takes("token_old_logps"):
        raise ConfigError(
            "scores=policy would count twice what this loss has as its own ratio: set scores=old"
        )
    logs = of_level((token_logps - token_behavior_logps).detach(), token_where, level)
    return weighted(loss, logs, cap, token_where, token_where)


def of_level(logs: Tensor, token_where: Tensor, level: Level) -> Float[Tensor, "B K L"]:
    """Log-ratios of tokens, or the sum (or mean) over their response at each of them."""
    if level == "token":
        return logs
    sums = logs.masked_fill(~token_where, 0).sum(dim=2, keepdim=True)
    if level == "sequence_mean":
        sums = sums / token_where.sum(dim=2, keepdim=True).clamp(min=1)
    return sums.expand_as(logs)


def weighted(loss: Loss, logs: Tensor, cap: float, token_where: Tensor, stay: Tensor) -> Weighted:
    """The loss under truncated weights, on the tokens that stay."""
    weights = torch.exp(logs).clamp(max=cap)
    tokens, kept = token_where.sum(dim=2).to(logs.dtype), stay.sum(dim=2).to(logs.dtype)
    reports = {"weight": ((weights * stay).sum(dim=2), kept), "rejected": (tokens - kept, tokens)}
    return loss.counted(token_weights=weights, token_where=stay), reports
