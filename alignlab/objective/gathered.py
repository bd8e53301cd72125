"""Statistics over the whole optimizer step, for losses that need more than their own micro-batch.

Such a loss is a class with

    contribute(self, <signals>) -> rows       [P, ...], [B, ...] or [B, K, ...]: what this micro-batch brings
    forward(self, <signals>, gathered)        the loss; `gathered` holds the rows of the whole step
    absorb(self, gathered)                    optional: update state, once a step, before `forward`

`contribute` is asked for every micro-batch first, without gradient; the caller joins the answers of
all micro-batches and ranks, and hands the joint rows to every call of the loss.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Gathered:
    """The rows of all micro-batches and ranks of a step, in one order; this micro-batch's rows begin at `start`."""

    rows: Float[Tensor, "n *row"]
    weights: Float[Tensor, "n"]
    """The weight of each row: that of its list, or 0 where the row stands for an absent response."""
    start: int = 0

    def none(self) -> "Gathered":
        """Return statistics of the same shape without any row."""
        return Gathered(self.rows[:0], self.weights[:0])

    @property
    def mean(self) -> Float[Tensor, "*row"]:
        """The weighted mean of the rows; 0 where all weights are 0."""
        weights = self.weights.reshape(-1, *[1] * (self.rows.dim() - 1))
        total = self.weights.sum()
        return (weights * self.rows).sum(dim=0) / torch.where(total > 0, total, torch.ones_like(total))


def join(parts: Sequence[Gathered]) -> list[Gathered]:
    """Join the rows of several micro-batches; returns one result for each, which differ in `start` alone."""
    rows = torch.cat([part.rows for part in parts])
    weights = torch.cat([part.weights for part in parts])
    starts = [0]
    for part in parts:
        starts.append(starts[-1] + len(part.rows))
    return [Gathered(rows, weights, start) for start in starts[:-1]]


def holding(rows: Float[Tensor, "N *row"], gathered: Gathered) -> Gathered:
    """Return the statistics of a step, which hold these rows too: those of an idle micro-batch are put behind."""
    if gathered.start + len(rows) <= len(gathered.rows):
        return gathered
    joint = torch.cat([gathered.rows, rows.detach().to(gathered.rows)])
    weights = torch.cat([gathered.weights, gathered.weights.new_ones(len(rows))])
    return Gathered(joint, weights, len(gathered.rows))
