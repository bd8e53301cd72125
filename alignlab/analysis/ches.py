"""Whether CHES scores under the start predict which chosen responses lose probability: arXiv:2410.08847."""

import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from torch import Tensor

from alignlab.analysis.result import (
    CHOSEN,
    REJECTED,
    Analysis,
    count_pairs,
    dots,
    legend,
    panels,
    quantile_groups,
    require_pairs,
)
from alignlab.analysis.scored import Scored
from alignlab.data.transforms.filter_ches import ches_of
from alignlab.errors import DataError
from alignlab.metrics.displacement import displaced
from alignlab.metrics.lengths import rank_correlation
from alignlab.uncertainty import mean_over_rows

GROUPS = 5


def ches(rows: Scored) -> Analysis:
    """CHES scores of best against worst under the reference, and the changes of their log-probabilities.

    Raises DataError without pairs or hidden states.
    """
    require_pairs(rows)
    if not rows.products:
        raise DataError("CHES scores need the hidden states of the model")
    scores = {
        name: scores_of(rows, normalized=normalized)
        for name, normalized in {"length-normalized CHES": True, "CHES": False}.items()
    }
    lines = [("pairs, best against worst", f"{len(rows.ends.list):,}")]
    for name, values in scores.items():
        spread = values.quantile(torch.tensor([0.05, 0.5, 0.95], dtype=values.dtype)).tolist()
        lines.append((f"{name}, 5 / 50 / 95 %", " / ".join(f"{value:.4g}" for value in spread)))
    figure, (left, right) = panels()
    normalized, sums = scores.values()
    axis = "length-normalized CHES of the start"
    if rows.logps is None or rows.ref_logps is None:
        left.hist(normalized.tolist(), bins=40, color=CHOSEN)
        right.hist(sums.tolist(), bins=40, color=CHOSEN)
        left.set(xlabel=axis)
        right.set(xlabel="CHES of the start")
        for axes in (left, right):
            count_pairs(axes)
        return Analysis("CHES", lines, figure)
    change = rows.logps - rows.ref_logps
    chosen, rejected = (rows.ends.take(change, side) for side in ("chosen", "rejected"))
    for name, values in scores.items():
        label = f"rank correlation of {name} and the log-ratio of chosen"
        lines.append((label, f"{rank_correlation(values, chosen):+.3f}"))
    fell = displaced(chosen, rejected).double()
    groups = quantile_groups(normalized, GROUPS)
    for place, group in enumerate(groups, start=1):
        estimate = mean_over_rows(chosen[group].tolist()).text("+.3f")
        lines.append(
            (
                f"log-ratio of chosen in fifth {place}, nats; displaced",
                f"{estimate}; {fell[group].mean():.3f}",
            )
        )
    dots(left, normalized, chosen, CHOSEN, groups)
    left.axhline(0, color="grey", lw=0.6)
    left.set(xlabel=axis, ylabel="log-ratio of chosen to the start, nats")
    legend(left)
    _errorbars(right, groups, chosen, "chosen", CHOSEN, "o-", -0.05)
    _errorbars(right, groups, rejected, "rejected", REJECTED, "s--", 0.05)
    right.axhline(0, color="grey", lw=0.6)
    right.set_xticks(range(1, len(groups) + 1))
    right.set(xlabel=f"fifth of the pairs by {axis}", ylabel="mean log-ratio to the start, nats")
    legend(right)
    return Analysis("CHES: value [95 % interval]", lines, figure)


def scores_of(rows: Scored, *, normalized: bool) -> Float[Tensor, "P"]:
    """The CHES score of every pair of best and worst response."""
    pairs = zip(rows.ends.list.tolist(), rows.ends.chosen.tolist(), rows.ends.rejected.tolist(), strict=True)
    scores = []
    for row, chosen, rejected in pairs:
        products = rows.products[row].numpy()
        lengths = rows.lengths[row][: len(products)].numpy()
        scores.append(ches_of(products, lengths, chosen, rejected, normalized=normalized))
    return torch.tensor(scores, dtype=torch.float64)


def _errorbars(
    axes: Axes, groups: list[Tensor], values: Tensor, name: str, colour: str, style: str, aside: float
) -> None:
    estimates = [mean_over_rows(values[group].tolist()) for group in groups]
    places = [place + aside for place in range(1, len(groups) + 1)]
    middles = [estimate.value for estimate in estimates]
    reach = [[e.value - e.low for e in estimates], [e.high - e.value for e in estimates]]
    axes.errorbar(places, middles, reach, fmt=style, color=colour, label=name, lw=2, ms=5, capsize=3)
