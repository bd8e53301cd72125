"""Whether the implicit reward prefers longer responses."""

import torch

from alignlab.analysis.result import (
    CHOSEN,
    MARK,
    OTHER,
    PALE,
    REJECTED,
    Analysis,
    dots,
    legend,
    panels,
    quantile_groups,
    require_pairs,
)
from alignlab.analysis.scored import Scored
from alignlab.metrics.lengths import correlation, length_controlled, rank_correlation, within_lists
from alignlab.metrics.ranking import wins
from alignlab.uncertainty import Estimate, share

GROUPS = 8


def length(rows: Scored) -> Analysis:
    """Correlations of length and implicit reward, accuracy by which side is longer, and accuracy without length.

    The length-controlled accuracy is that of a logistic model of the wins at equal lengths (AlpacaEval's minimal
    form). Raises DataError without pairs.
    """
    require_pairs(rows)
    longer, margins = rows.gaps(rows.lengths, every=True), rows.margins
    right = wins(margins, torch.zeros_like(margins))
    controlled = length_controlled(right, longer)
    inside = [within_lists(values, rows.where) for values in (rows.lengths, rows.rewards)]
    across = [values[rows.where] for values in (rows.lengths, rows.rewards)]
    sides = {
        "chosen shorter": (longer < 0, REJECTED),
        "equal": (longer == 0, PALE),
        "chosen longer": (longer > 0, CHOSEN),
    }
    accuracies = {name: _accuracy(rows, right, mask) for name, (mask, _) in sides.items()}
    prefers = wins(margins * longer.sign(), torch.zeros_like(margins))[longer != 0]
    lines = [
        ("ordered pairs", f"{len(longer):,}"),
        ("length and reward within lists, Pearson", f"{correlation(*inside):+.3f}"),
        ("length and reward within lists, Spearman", f"{rank_correlation(*inside):+.3f}"),
        ("length and reward over all responses, Pearson", f"{correlation(*across):+.3f}"),
        ("chosen longer than rejected", f"{(longer > 0).double().mean():.3f}"),
        ("rewards prefer the longer response", f"{prefers.mean():.3f}" if len(prefers) else "-"),
        ("accuracy", f"{controlled.win_rate:.3f}"),
        ("accuracy at equal lengths (length-controlled)", f"{controlled.controlled:.3f}"),
    ]
    lines += [(f"accuracy, {name}", estimate.text()) for name, estimate in accuracies.items()]
    figure, (left, right_axes) = panels()
    dots(left, longer, margins, OTHER, quantile_groups(longer, GROUPS))
    left.axhline(0, color="grey", lw=0.6)
    left.axvline(0, color="grey", lw=0.6)
    left.set(
        xlabel="length of chosen less rejected, tokens",
        ylabel=f"reward of chosen less rejected, {rows.reward.unit}",
    )
    legend(left)
    for place, (name, estimate) in enumerate(accuracies.items()):
        if estimate.value == estimate.value:
            below, above = estimate.value - estimate.low, estimate.high - estimate.value
            right_axes.bar(
                place,
                estimate.value,
                width=0.6,
                color=sides[name][1],
                yerr=[[below], [above]],
                capsize=4,
                ecolor="#444444",
            )
    right_axes.axhline(controlled.controlled, color=MARK, lw=2, ls="--", label="at equal lengths (fitted)")
    right_axes.set_xticks(range(len(accuracies)), list(accuracies))
    right_axes.set(ylabel="accuracy, with 95 % interval", ylim=(0, 1.03))
    legend(right_axes)
    return Analysis("length: value [95 % interval over lists]", lines, figure)


def _accuracy(rows: Scored, right: torch.Tensor, mask: torch.Tensor) -> Estimate:
    sums, counts = right.new_zeros(2, len(rows.ids))
    index = rows.pairs.list[mask]
    sums = sums.index_add(0, index, right[mask])
    counts = counts.index_add(0, index, torch.ones_like(right[mask]))
    return share(sums.tolist(), counts.tolist())
