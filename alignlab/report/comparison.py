"""Pictures over many runs: curves of the groups, reward against KL and length, a heat map of two settings."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from alignlab.console import SHOWN
from alignlab.metrics.frontier import best_of_n, best_reward
from alignlab.report.figures import finish, look, picture, size
from alignlab.report.groups import Group, metrics_of, short_names
from alignlab.report.record import Series
from alignlab.report.statistics import Estimate, estimate
from alignlab.report.table import comparable, tells, told

MOST_GROUPS = 16
"""Curves that a picture can hold."""
MOST_BANDS = 6
"""More bands would hide each other."""
FEWEST_IN_BAND = 3
"""Seeds; the interval of two is thirteen times as wide as they are apart."""
REWARDS = ("gold/reward", "val/rewards/margin", "val/rewards/accuracy")
COSTS = ("gold/kl", "val/kl_exact", "val/kl"), ("gold/length",)
MOST_SAMPLES = 64
"""Samples that best-of-n is drawn up to."""
FRONT = "Pareto front of the means"
BEST_OF_N = "best of n of the start"
PALE = "#b8bec4"
BEST = ("gold/reward", "val/rewards/accuracy", "val/loss")


@dataclass(frozen=True, eq=False)
class Shown:
    """A group in a picture: its name in the legend, and its place, which gives its colour and mark."""

    group: Group
    name: str
    place: int


Points = Mapping[Shown, tuple[float, float]]
"""Cost and reward of rows."""


def compare_plots(groups: Sequence[Group], folder: Path) -> list[Path]:
    """All pictures that these groups have numbers for."""
    names = short_names(groups)
    rows = [Shown(group, names[group.label], place) for place, group in enumerate(ranked(groups))]
    return [
        *_pareto(rows, folder),
        *_frontier(rows, folder),
        *_heat_map(groups, folder),
        *_overlays(rows, folder),
    ]


def ranked(groups: Sequence[Group]) -> Sequence[Group]:
    """The groups as they stand; of more than a picture can hold, the best first."""
    metric = best_metric(groups)
    if len(groups) <= MOST_GROUPS or metric is None:
        return groups
    sign = 1 if metric == "val/loss" else -1
    means = {group.label: fmean(group.values(metric).values() or [-sign * math.inf]) for group in groups}
    return sorted(groups, key=lambda group: sign * means[group.label])


def best_metric(groups: Sequence[Group]) -> str | None:
    """What rows are judged by where one number must do."""
    known = set(metrics_of(groups))
    return next((name for name in BEST if name in known), None)


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


def _overlays(rows: Sequence[Shown], folder: Path) -> Iterator[Path]:
    groups, drawn = [row.group for row in rows], rows[:MOST_GROUPS]
    for metric in (name for name in SHOWN if name.startswith("val/")):
        curves = {row: curve(row.group, metric) for row in drawn}
        if max(len(steps) for steps, _ in curves.values()) < 2 or not tells(groups, metric):
            continue
        file = folder / f"curve-{metric.removeprefix('val/').replace('/', '-')}.png"
        with picture(file, size([row.name for row in drawn])) as axes:
            for row, (steps, points) in curves.items():
                means = [point.mean for point in points]
                axes.plot(steps, means, **look(row.place), lw=1.8, ms=5, label=row.name)
                if points and len(groups) <= MOST_BANDS and points[0].count >= FEWEST_IN_BAND:
                    low, high = ([p.mean + sign * p.half for p in points] for sign in (-1, 1))
                    axes.fill_between(steps, low, high, color=look(row.place)["color"], alpha=0.12, lw=0)
            if len(rows) > len(drawn):
                by = told(str(best_metric(groups)), groups)
                axes.set_title(f"the best {len(drawn)} of {len(rows)} rows by {by}", fontsize=9, loc="left")
            finish(axes, x="optimizer steps", y=f"validation: {told(metric, groups)}", whole_x=True)
        yield file


def _pareto(rows: Sequence[Shown], folder: Path) -> Iterator[Path]:
    """Reward against what it cost: KL, and the length of samples."""
    groups = [row.group for row in rows]
    known = set(metrics_of(groups))
    reward = next((name for name in REWARDS if name in known and comparable(groups, name)), None)
    costs = [cost for names in COSTS if (cost := next((name for name in names if name in known), None))]
    if reward is None or len(groups) < 2:
        return
    for cost in costs:
        file = folder / f"pareto-{cost.rpartition('/')[2]}.png"
        points, bound = _points(rows, cost, reward), []
        if (cost, reward) == ("gold/kl", "gold/reward"):
            bound = best_samples(groups)
        with picture(file, size([*_named(points), FRONT, "", ""])) as axes:
            _tradeoff(axes, points, cost, reward)
            if bound:
                axes.plot(*zip(*bound, strict=True), color="black", lw=1, ls=":", label=BEST_OF_N)
            finish(axes, x=told(cost, groups), y=told(reward, groups))
        yield file


def best_samples(groups: Sequence[Group]) -> list[tuple[float, float]]:
    """KL and gold reward of the best of n samples of the start, for each n that all runs drew so many of.

    Nothing where one sample was drawn of a prompt, or the runs do not begin with one model: n = 1 alone is a point.
    """
    runs = [run for group in groups for run in group.runs.values()]
    if len({str(run.config.get("model")) for run in runs}) > 1:
        return []
    drawn: list[list[float]] = []
    for run in runs:
        by_prompt: dict[str, list[float]] = {}
        for sample in run.samples:
            by_prompt.setdefault(sample["prompt"], []).append(sample["reward_before"])
        drawn += by_prompt.values()
    most = min(map(len, drawn), default=0)
    if most < 2:
        return []
    return [(best_of_n(n)[0], best_reward(drawn, n)) for n in range(1, most + 1)]


def _frontier(rows: Sequence[Shown], folder: Path) -> Iterator[Path]:
    """Wins of samples over those of the start against KL, beside what best-of-n sampling of the start costs."""
    points = _points(rows, "gold/kl", "gold/win_rate")
    if len(points) < 2:
        return
    file = folder / "frontier.png"
    with picture(file, size([*_named(points), FRONT, "", ""])) as axes:
        _tradeoff(axes, points, "gold/kl", "gold/win_rate")
        bound = [best_of_n(n) for n in range(1, MOST_SAMPLES + 1)]
        limits = axes.axis()
        axes.plot(*zip(*bound, strict=True), color="black", lw=1, ls=":", label=BEST_OF_N)
        axes.axis(limits)
        finish(axes, x=SHOWN["gold/kl"], y=f"{SHOWN['gold/win_rate']}, ties one half")
    yield file


def _points(rows: Sequence[Shown], cost: str, reward: str) -> Points:
    """Means over the seeds that have both."""
    found = {}
    for row in rows:
        x, y = row.group.values(cost), row.group.values(reward)
        if seeds := x.keys() & y.keys():
            found[row] = fmean(x[seed] for seed in seeds), fmean(y[seed] for seed in seeds)
    return found


def _named(points: Points) -> list[str]:
    """Rows that a picture tells apart: all, or of too many those on the front."""
    if len(points) <= MOST_GROUPS:
        return [row.name for row in points]
    return front({row.name: point for row, point in points.items()})


def _tradeoff(axes: Any, points: Points, cost: str, reward: str) -> None:
    by_name, named = {row.name: point for row, point in points.items()}, _named(points)
    others = [point for name, point in by_name.items() if name not in named]
    if others:
        axes.plot(*zip(*others, strict=True), "o", color=PALE, ms=5, label=f"{len(others)} other rows")
    for row in (row for row in points if row.name in named):
        x, y = row.group.values(cost), row.group.values(reward)
        seeds = sorted(x.keys() & y.keys())
        style = {key: value for key, value in look(row.place).items() if key != "linestyle"}
        axes.plot([x[s] for s in seeds], [y[s] for s in seeds], **style, ls="", ms=4, alpha=0.35)
        axes.plot(*points[row], **style, ls="", ms=9, label=row.name, zorder=3)
    ring: dict[str, Any] = {"marker": "o", "ms": 15, "mfc": "none", "mew": 0.8, "lw": 1, "ls": "--"}
    best = [by_name[name] for name in front(by_name)]
    axes.plot(*zip(*best, strict=True), color="grey", zorder=1, label=FRONT, **ring)


def _heat_map(groups: Sequence[Group], folder: Path) -> Iterator[Path]:
    found, metric = grid(groups), best_metric(groups)
    if found is None or metric is None:
        return
    (down, rows), (across, columns) = found
    cells = {
        (group.choices[down], group.choices[across]): [*group.values(metric).values()] for group in groups
    }
    values = [[fmean(cells[r, c]) if cells.get((r, c)) else math.nan for c in columns] for r in rows]
    file = folder / "heat-map.png"
    with picture(file, (max(6.4, 2.6 + 0.75 * len(columns)), 1.8 + 0.6 * len(rows))) as axes:
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
