"""The result of an analysis, a table and a picture, and the look that all pictures share."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from alignlab.analysis.scored import Scored
from alignlab.errors import DataError

CHOSEN, REJECTED, OTHER, MARK = "#009E73", "#D55E00", "#0072B2", "#E69F00"
"""Colours of Okabe and Ito, which colour-blind eyes tell apart."""
PALE = "#c9c9c9"


@dataclass(frozen=True)
class Analysis:
    """The result of an analysis: lines (name, figure) of a table, and a picture."""

    title: str
    lines: Sequence[tuple[str, str]]
    figure: Figure
    rows: Sequence[Mapping[str, Any]] = ()
    """The data of the picture in full precision, where it is worth a csv file."""

    def draw(self, file: Path) -> list[Path]:
        """Write the picture to `file`, and the rows, if any, as csv beside it; returns the files."""
        file.parent.mkdir(parents=True, exist_ok=True)
        file.unlink(missing_ok=True)  # a link is replaced, not followed
        self.figure.savefig(file, dpi=130)
        if not self.rows:
            return [file]
        beside = file.with_suffix(".csv")
        with beside.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, list(self.rows[0]))
            writer.writeheader()
            writer.writerows(self.rows)
        return [file, beside]


def panels(count: int = 2) -> tuple[Figure, list[Axes]]:
    """A picture of `count` panels side by side, and their axes."""
    figure = Figure(figsize=(5.5 * count, 4.2), layout="constrained")
    every = [figure.add_subplot(1, count, place) for place in range(1, count + 1)]
    for axes in every:
        axes.spines[["top", "right"]].set_visible(False)
    return figure, every


def count_pairs(axes: Axes) -> None:
    """Label the y-axis as a count of pairs, with whole numbers."""
    axes.set_ylabel("pairs")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))


def legend(axes: Axes) -> None:
    """Draw the legend above the panel, where it covers nothing."""
    columns = len(axes.get_legend_handles_labels()[1])
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=columns,
        frameon=False,
        fontsize=9,
        borderaxespad=0.2,
        columnspacing=1.4,
        handlelength=1.6,
    )


def quantile_groups(values: Float[Tensor, "P"], count: int) -> list[Tensor]:
    """The numbers of the values in at most `count` groups of like size, ascending; equal values share a group."""
    inner = torch.linspace(0, 1, count + 1, dtype=values.dtype)[1:-1]
    place = torch.searchsorted(values.quantile(inner), values)
    return [
        group for group in ((place == number).nonzero().flatten() for number in range(count)) if len(group)
    ]


def dots(axes: Axes, x: Float[Tensor, "P"], y: Float[Tensor, "P"], colour: str, groups: list[Tensor]) -> None:
    """Draw a dot for each pair, larger and darker where there are few, and the medians of the groups."""
    few = min(1.0, 150 / max(len(x), 1))
    look: dict[str, Any] = {"s": 9 + 16 * few, "alpha": 0.4 + 0.35 * few, "linewidths": 0}
    axes.scatter(x.tolist(), y.tolist(), color=colour, label="a pair", **look)
    middles = [[values[group].median().item() for group in groups] for values in (x, y)]
    axes.plot(*middles, "o-", color=MARK, lw=2, ms=5, label="medians of equal groups")


def require_pairs(rows: Scored) -> None:
    """Raise DataError where no response is better than another."""
    if not len(rows.pairs.list):
        raise DataError(
            "no list has one response that is better than another: use data with pairs or rated lists"
        )


def require_logps(rows: Scored, why: str) -> Float[Tensor, "B K"]:
    """The log-probabilities in nats; DataError for scores of a reward model, in which `why` names the analysis."""
    if rows.logps is None:
        raise DataError(
            f"{why} goes by log-probabilities of a language model, and this policy gives scores of its own: ask "
            "calibration or length of it, or give a run of policy=causal_lm"
        )
    return rows.logps


def require_reference(rows: Scored, why: str) -> Float[Tensor, "B K"]:
    """The log-probabilities of the reference in nats; DataError without one, in which `why` names the analysis."""
    if rows.ref_logps is None:
        raise DataError(
            f"{why} needs a reference: pass run=<a run folder> (reference=precomputed for a run without one), or "
            "reference.path=<a model folder> beside model="
        )
    return rows.ref_logps
