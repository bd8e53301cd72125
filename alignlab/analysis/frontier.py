"""Win rate against KL of a policy over its checkpoints, compared with best-of-n sampling of the start."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes

from alignlab.analysis.result import CHOSEN, OTHER, Analysis, legend, panels
from alignlab.metrics.frontier import best_of_n
from alignlab.uncertainty import PLUS_MINUS, plus_minus

MOST = 64
"""The largest n of the best-of-n curve."""


@dataclass(frozen=True)
class Point:
    """The metrics of samples of a policy at an optimizer step: `GoldReport.metrics`, and `win_rate` over the start."""

    name: str
    step: int
    metrics: Mapping[str, float]

    def half(self, name: str) -> float:
        """Half the 95 % interval of a metric; 0 where it has none."""
        half = self.metrics.get(f"{name}_ci", 0.0)
        return 0.0 if math.isnan(half) else half

    def text(self, name: str, form: str = ".3f") -> str:
        """A metric as text, with half its 95 % interval after ±, if it has one."""
        return plus_minus(self.metrics[name], self.half(name) or math.nan, form)


def frontier(points: Sequence[Point]) -> Analysis:
    """Win rate over the start and length of samples (tokens), against KL to the start (nats), in order of steps."""
    title = f"win rate over the start; KL to it, k1 and k3, nats; length, tokens ({PLUS_MINUS})"
    lines = [
        (
            point.name,
            f"{point.text('win_rate')}; {point.text('kl')}, {point.text('kl_k3')}; {point.text('length', '.1f')}",
        )
        for point in points
    ]
    figure, (left, right) = panels()
    bound = [best_of_n(n) for n in range(1, MOST + 1)]
    left.plot(
        *zip(*bound, strict=True), color="grey", lw=1.2, ls="--", label="best of n of the start, no ties"
    )
    _path(left, points, "win_rate", CHOSEN)
    _path(right, points, "length", OTHER)
    left.axhline(0.5, color="grey", lw=0.6)
    far = max(point.metrics["kl"] + point.half("kl") for point in points)
    low = min(point.metrics["win_rate"] - point.half("win_rate") for point in points)
    left.set(ylim=(min(0.45, low - 0.03), 1.03), xlim=(-0.1 * max(far, 0.2), 1.1 * max(far, 0.2)))
    left.set(xlabel="KL to the start on samples, nats", ylabel="share of samples that win over the start's")
    right.set(xlabel="KL to the start on samples, nats", ylabel="length of samples, tokens")
    for axes in (left, right):
        legend(axes)
    return Analysis(title, lines, figure, [_row(point) for point in points])


def _path(axes: Axes, points: Sequence[Point], name: str, colour: str) -> None:
    x, y = ([point.metrics[key] for point in points] for key in ("kl", name))
    across, up = ([point.half(key) for point in points] for key in ("kl", name))
    look: dict[str, Any] = {
        "lw": 1.8,
        "ms": 5,
        "elinewidth": 0.8,
        "capsize": 2,
        "label": "policy, by its steps",
    }
    axes.errorbar(x, y, up, across, fmt="o-", color=colour, **look)
    for point, at, high in zip(points, x, y, strict=True):
        axes.annotate(str(point.step), (at, high), (5, 5), textcoords="offset points", fontsize=8)


def _row(point: Point) -> Mapping[str, Any]:
    return {"policy": point.name, "step": point.step, **point.metrics}
