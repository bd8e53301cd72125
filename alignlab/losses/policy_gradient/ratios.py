"""Ratios of probabilities to those at the time of drawing, the clipped objective of PPO, and means over tokens."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from alignlab.objective.numeric import MAX_EXPONENT
from alignlab.types import Reports

Counted = tuple[Float[Tensor, "B K"], Float[Tensor, "B K"]]
"""The values of responses, and what each counts."""


def ratio(logratios: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """The ratio of two probabilities from the difference of their logarithms; above e^80 it is constant."""
    return logratios.clamp(max=MAX_EXPONENT).exp()


def clipped(
    ratios: Float[Tensor, "*#shape"], advantages: Float[Tensor, "*#shape"], low: float, high: float
) -> Float[Tensor, "*#shape"]:
    """PPO's loss, -min(ratio * A, clip(ratio, 1 - low, 1 + high) * A), arXiv:1707.06347 eq. 7.

    >>> clipped(torch.tensor([0.5, 1.5]), torch.tensor([1.0, 1.0]), 0.2, 0.2)
    tensor([-0.5000, -1.2000])
    """
    return -torch.minimum(ratios * advantages, ratios.clamp(1 - low, 1 + high) * advantages)


def clipped_tokens(
    token_logps: Float[Tensor, "B K L"],
    token_old_logps: Float[Tensor, "B K L"],
    advantages: Float[Tensor, "B K #L"],
    token_where: Bool[Tensor, "B K L"],
    low: float,
    high: float,
) -> tuple[Float[Tensor, "B K L"], Reports]:
    """The clipped loss of each token, and the share `clipped` of tokens whose gradient the clip takes away."""
    ratios = ratio(token_logps - token_old_logps)
    away = (ratios > 1 + high) & (advantages > 0) | (ratios < 1 - low) & (advantages < 0)
    share = summed(away.to(ratios.dtype), token_where), token_counts(token_where, ratios)
    return clipped(ratios, advantages, low, high), {"clipped": share}


def summed(values_BKL: Float[Tensor, "B K L"], token_where: Bool[Tensor, "B K L"]) -> Float[Tensor, "B K"]:
    """The sum over the tokens that count."""
    return values_BKL.masked_fill(~token_where, 0).sum(dim=2)


def token_counts(token_where: Bool[Tensor, "B K L"], like: Tensor) -> Float[Tensor, "B K"]:
    """How many tokens of each response count."""
    return token_where.sum(dim=2).to(like.dtype)


def present(token_where: Bool[Tensor, "B K L"], like: Tensor) -> Float[Tensor, "B K"]:
    """1 for a response of which any token counts, else 0."""
    return token_where.any(dim=2).to(like.dtype)
