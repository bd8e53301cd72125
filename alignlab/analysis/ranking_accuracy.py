"""Ranking accuracy of the policy and of its reference by the difficulty of the pairs: arXiv:2405.19534."""

import math
import statistics
from collections.abc import Mapping

import torch
from matplotlib.axes import Axes
from torch import Tensor

from alignlab.analysis.result import (
    CHOSEN,
    MARK,
    OTHER,
    PALE,
    REJECTED,
    Analysis,
    count_pairs,
    legend,
    panels,
    quantile_groups,
    require_logps,
    require_pairs,
    require_reference,
)
from alignlab.analysis.scored import Scored
from alignlab.analysis.summary import accuracy
from alignlab.metrics.ranking import difficulty, flips, idealized_wins

BETAS = (0.01, 0.1, 1.0, 5.0, 10.0)
BINS, GROUPS = 40, 10
DIFFICULTY = "difficulty: log ref(rejected) - log ref(chosen), nats"


def ranking_accuracy(rows: Scored) -> Analysis:
    """Ranking accuracies over all strictly ordered pairs, flips between the reference and the policy, difficulty.

    Idealized accuracies assume that all raters agree (a share of 0.999), since data has one label for each pair.
    Raises DataError without pairs or without a reference.
    """
    require_pairs(rows)
    logps, ref_logps = require_logps(rows, "ranking_accuracy"), require_reference(rows, "ranking_accuracy")
    before, after = (rows.gaps(values, every=True) for values in (ref_logps, logps))
    mended, broken = flips(before, after)
    sides = (rows.pairs.take(ref_logps, side) for side in ("chosen", "rejected"))
    c = difficulty(*sides)
    ideal = [idealized_wins(before, torch.ones_like(before), beta=b).mean().item() for b in BETAS]
    quarters = c.quantile(torch.tensor([0.1, 0.5, 0.9], dtype=c.dtype)).tolist()
    lengths = rows.lengths.clamp(min=1)
    lines = [
        ("ordered pairs", f"{len(c):,}"),
        ("ranking accuracy of the reference", accuracy(rows, ref_logps).text()),
        ("ranking accuracy of the policy", accuracy(rows, logps).text()),
        ("per token: reference", accuracy(rows, ref_logps / lengths).text()),
        ("per token: policy", accuracy(rows, logps / lengths).text()),
        ("implicit accuracy", accuracy(rows, rows.rewards).text()),
        (
            f"idealized, beta {BETAS[0]:g} to {BETAS[-1]:g}: least / median / most",
            f"{min(ideal):.3f} / {statistics.median(ideal):.3f} / {max(ideal):.3f}",
        ),
        ("mended (wrong before, right after)", f"{mended.double().mean():.3f}"),
        ("broken (right before, wrong after)", f"{broken.double().mean():.3f}"),
        ("difficulty, 10 / 50 / 90 %, nats", " / ".join(f"{value:+.2f}" for value in quarters)),
    ]
    figure, (left, right) = panels()
    _histogram(left, c, before, after)
    implicit = rows.gaps(rows.rewards, every=True)
    curves = {
        "reference": (before, "#808080", "s--"),
        "policy": (after, CHOSEN, "o-"),
        "implicit reward": (implicit, OTHER, "^:"),
    }
    _accuracies(right, c, curves)
    return Analysis("ranking accuracy: value [95 % interval over lists]", lines, figure)


def _histogram(axes: Axes, c: Tensor, before: Tensor, after: Tensor) -> None:
    """Pairs by difficulty `c`, stacked by whether the reference (`before`) and the policy rank them rightly."""
    mended, broken = flips(before, after)
    groups = {
        "right, and was": ((before >= 0) & (after >= 0), CHOSEN),
        "mended": (mended, MARK),
        "broken": (broken, REJECTED),
        "wrong, and was": ((before < 0) & (after < 0), PALE),
    }
    width = max((c.max() - c.min()).item() / BINS, 1e-9)
    first, last = (math.floor(end.item() / width) for end in (c.min(), c.max()))
    edges = [width * place for place in range(first, last + 2)]  # one at 0, where right and wrong part
    axes.hist(
        [c[mask].tolist() for mask, _ in groups.values()],
        bins=edges,
        stacked=True,
        color=[colour for _, colour in groups.values()],
        label=list(groups),
    )
    axes.axvline(0, color="black", lw=0.8)
    axes.set(xlabel=DIFFICULTY)
    count_pairs(axes)
    legend(axes)


def _accuracies(axes: Axes, c: Tensor, curves: Mapping[str, tuple[Tensor, str, str]]) -> None:
    """The share of pairs ranked rightly by groups of difficulty `c`, for margins with a colour and a style each."""
    where = quantile_groups(c, GROUPS)
    middles = [c[group].median().item() for group in where]
    for name, (margins, colour, style) in curves.items():
        shares = [(margins[group] >= 0).double().mean().item() for group in where]
        axes.plot(middles, shares, style, color=colour, label=name, lw=2, ms=5)
    axes.axhline(0.5, color="grey", lw=0.6)
    axes.set(xlabel=DIFFICULTY, ylabel=f"pairs ranked rightly, by {GROUPS} equal groups", ylim=(-0.03, 1.03))
    legend(axes)
