"""Pictures over many runs: curves of the groups, reward against KL and length, a heat map of two settings."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from alignlab.console import SHOWN
from alignlab.report.figures import finish, look, picture, size
from alignlab.report.groups import Group, metrics_of
from alignlab.report.record import Series
from alignlab.report.statistics import Estimate, estimate
from alignlab.report.table import tells

MOST_GROUPS = 16
"""Curves that a picture can hold."""
MOST_BANDS = 6
"""More bands would hide each other."""
REWARDS = ("gold/reward", "val/rewards/margin")
COSTS = ("gold/kl", "val/kl_exact", "val/kl"), ("gold/length",)
BEST = ("gold/reward", "val/rewards/accuracy", "val/loss")


def compare_plots(groups: Sequence[Group], folder: Path) -> list[Path]:
    """All pictures that these groups have numbers for."""
    return [*_pareto(groups, folder), *_heat_map(groups, folder), *_overlays(groups, folder)]


def curve(group: Group, metric: str) -> tuple[list[int], list[Estimate]]:
    """A validation metric at each step that all runs of the group have."""
    series: list[Series] = [run.history[metric] for run in group.runs.values() if metric in run.history]
    if not series:
        return [], []
    known = [dict(zip(*one, strict=True)) for one in series]
    steps = sorted(set.intersection(*(set(values) for values in known)))
    return steps, [estimate([values[step] for values in known]) for step in steps]


def front(points: Mapping[str, tuple[float, float]]) -> list[str]:
    """Names of the points (cost, reward) that no other beats in one and equals or beats in the other, by cost.

    >>> front({"a": (1.0, 1.0), "b": (2.0, 3.0), "c": (3.0, 2.0)})
    ['a', 'b']
    """
    best, kept = -math.inf, []
    for name, (_, reward) in sorted(points.items(), key=lambda item: (item[1][0], -item[1][1])):
        if reward > best:
            kept.append(name)
            best = reward
    return kept


def grid(groups: Sequence[Group]) -> tuple[tuple[str, list[str]], tuple[str, list[str]]] | None:
    """The two settings of a sweep over just two, with their values in order; None of any other."""
    keys = list(dict.fromkeys(key for group in groups for key in group.choices))
    if len(keys) != 2 or any(len(group.choices) != 2 for group in groups):
        return None
    values = [sorted({group.choices[key] for group in groups}, key=_in_order) for key in keys]
    if min(map(len, values)) < 2:
        return None
    return (keys[0], values[0]), (keys[1], values[1])


def _overlays(groups: Sequence[Group], folder: Path) -> Iterator[Path]:
    for metric in (name for name in SHOWN if name.startswith("val/")):
        curves = {group.label: curve(group, metric) for group in groups[:MOST_GROUPS]}
        if max(len(steps) for steps, _ in curves.values()) < 2 or not tells(groups, metric):
            continue
        file = folder / f"curve-{metric.removeprefix('val/').replace('/', '-')}.png"
        with picture(file, size(len(curves))) as axes:
            for i, (label, (steps, points)) in enumerate(curves.items()):
                means = [point.mean for point in points]
                axes.plot(steps, means, **look(i), lw=1.8, ms=5, label=label)
                if points and len(groups) <= MOST_BANDS and not math.isnan(points[0].half):
                    low, high = ([p.mean + sign * p.half for p in points] for sign in (-1, 1))
                    axes.fill_between(steps, low, high, color=look(i)["color"], alpha=0.12, lw=0)
            finish(axes, x="optimizer steps", y=f"validation: {SHOWN[metric]}", whole_x=True)
        yield file


def _pareto(groups: Sequence[Group], folder: Path) -> Iterator[Path]:
    """Reward against what it cost: KL, and the length of samples."""
    known = set(metrics_of(groups))
    reward = next((name for name in REWARDS if name in known), None)
    costs = [cost for names in COSTS if (cost := next((name for name in names if name in known), None))]
    if reward is None or len(groups) < 2:
        return
    for cost in costs:
        file = folder / f"pareto-{cost.rpartition('/')[2]}.png"
        with picture(file, size(len(groups) + 1)) as axes:
            _tradeoff(axes, groups, cost, reward)
            finish(axes, x=SHOWN[cost], y=SHOWN[reward])
        yield file


def _tradeoff(axes: Any, groups: Sequence[Group], cost: str, reward: str) -> None:
    points: dict[str, tuple[float, float]] = {}
    for i, group in enumerate(groups):
        x, y = group.values(cost), group.values(reward)
        if not (seeds := sorted(x.keys() & y.keys())):
            continue
        across, up = (estimate([values[seed] for seed in seeds]) for values in (x, y))
        points[group.label] = (across.mean, up.mean)
        style = {key: value for key, value in look(i).items() if key != "linestyle"}
        axes.plot([x[s] for s in seeds], [y[s] for s in seeds], **style, ls="", ms=4, alpha=0.35)
        axes.plot(across.mean, up.mean, **style, ls="", ms=9, label=group.label, zorder=3)
    best = [points[name] for name in front(points)]
    axes.plot(
        *zip(*best, strict=True), color="grey", lw=1, ls="--", zorder=1, label="Pareto front of the means"
    )


def _heat_map(groups: Sequence[Group], folder: Path) -> Iterator[Path]:
    found, known = grid(groups), set(metrics_of(groups))
    metric = next((name for name in BEST if name in known), None)
    if found is None or metric is None:
        return
    (down, rows), (across, columns) = found
    cells = {
        (group.choices[down], group.choices[across]): [*group.values(metric).values()] for group in groups
    }
    values = [[fmean(cells[r, c]) if cells.get((r, c)) else math.nan for c in columns] for r in rows]
    file = folder / "heat-map.png"
    with picture(file, (2.6 + 1.1 * len(columns), 1.8 + 0.7 * len(rows))) as axes:
        image = axes.imshow(values, cmap="cividis", aspect="auto")
        low, high = image.get_clim()
        for i, row in enumerate(values):
            for j, value in enumerate(row):
                ink = "black" if value > (low + high) / 2 else "white"
                if not math.isnan(value):
                    axes.text(j, i, f"{value:.3g}", ha="center", va="center", color=ink)
        axes.set_xticks(range(len(columns)), columns)
        axes.set_yticks(range(len(rows)), rows)
        axes.set(xlabel=across, ylabel=down)
        axes.figure.colorbar(image, ax=axes, label=SHOWN.get(metric, metric))
    yield file


def _in_order(value: str) -> tuple[int, float, str]:
    try:
        return 0, float(value), ""
    except ValueError:
        return 1, 0.0, value
