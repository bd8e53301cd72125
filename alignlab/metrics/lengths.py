"""Measures whether length is rewarded: correlations, and a win rate controlled for length."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

Values = Float[Tensor, "N"]
RIDGE = 1e-9
"""The ridge penalty that keeps the fit finite where lengths separate wins from losses."""


def correlation(x: Values, y: Values) -> float:
    """Pearson's correlation; NaN where either does not vary, or there are fewer than two values."""
    x, y = x - x.mean(), y - y.mean()
    scale = (x.square().sum() * y.square().sum()).sqrt()
    return (x @ y / scale).clamp(-1, 1).item() if scale > 0 else math.nan


def rank_correlation(x: Values, y: Values) -> float:
    """Spearman's correlation: Pearson's of the ranks, where equal values share their mean rank."""
    return correlation(_ranks(x), _ranks(y))


def _ranks(values: Values) -> Values:
    distinct, group, counts = values.unique(return_inverse=True, return_counts=True)  # type: ignore[no-untyped-call]
    above = counts.cumsum(0).to(values.dtype)
    return (above - (counts.to(values.dtype) - 1) / 2)[group] if len(distinct) else values


def within_lists(values: Float[Tensor, "B K"], where: Bool[Tensor, "B K"]) -> Values:
    """The values of responses minus the mean of their list, so that prompts play no part; without lone responses."""
    counts = where.sum(1, keepdim=True)
    means = values.masked_fill(~where, 0).sum(1, keepdim=True) / counts.clamp(min=1)
    return (values - means)[where & (counts > 1)]


@dataclass(frozen=True)
class LengthControlled:
    """A win rate, and the win rate at equal lengths by a fitted model."""

    win_rate: float
    controlled: float
    """The win rate at equal lengths."""
    length_slope: float
    """The log-odds of a win for one unit of tanh(length difference / its standard deviation)."""


def length_controlled(win_probs: Values, longer: Values) -> LengthControlled:
    """The length-controlled win rate, in the minimal form of AlpacaEval 2: a constant and a term in length.

    `win_probs` are wins in [0, 1]; `longer` is the length of the response that wins with them minus that of the
    other, in any unit. A logistic model is fitted by Newton's method; the official one adds a term for each
    prompt and an L1 penalty. Where all lengths are equal, the result is the win rate itself.
    """
    if len(win_probs) < 2:
        return LengthControlled(_mean(win_probs), _mean(win_probs), 0.0)
    spread = longer.std()
    feature = torch.tanh(longer / spread) if spread > 0 else torch.zeros_like(longer)
    inputs = torch.stack([torch.ones_like(feature), feature], dim=1)
    weights = torch.zeros(2, dtype=inputs.dtype)
    for _ in range(100):
        fitted = (inputs @ weights).sigmoid()
        slope = inputs.T @ (win_probs - fitted) - RIDGE * weights
        curvature = (inputs.T * (fitted * (1 - fitted))) @ inputs + RIDGE * torch.eye(2, dtype=inputs.dtype)
        step = torch.linalg.solve(curvature, slope)
        weights = weights + step / max(1.0, step.abs().max().item())
        if step.abs().max() < 1e-12:
            break
    return LengthControlled(_mean(win_probs), weights[0].sigmoid().item(), weights[1].item())


def _mean(values: Values) -> float:
    return values.mean().item()
