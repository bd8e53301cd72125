"""Reward against what it cost, KL or length, and wins against KL; rows that a number sets apart make a line."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from alignlab.console import SHOWN
from alignlab.metrics.frontier import best_of_n, best_reward
from alignlab.report.figures import PALE, finish, look, picture, size
from alignlab.report.table import comparable, title_of
from alignlab.runs.setting import Setting, grid, metrics_of, number_of

MOST_SETTINGS = 16
"""Curves that a picture can hold."""
REWARDS = ("gold/reward", "val/rewards/margin", "val/rewards/accuracy")
COSTS = ("gold/kl", "val/kl_exact"), ("gold/length",)
FEWEST_IN_LINE = 3
"""Values of a number that a line is drawn through."""
MOST_SAMPLES = 64
"""Samples that best-of-n is drawn up to."""
FRONT = "Pareto front of the means"
BEST_OF_N = "best of n of the start"


@dataclass(frozen=True, eq=False)
class Shown:
    """A setting in a picture: its name in the legend, and its place, which gives its colour and mark."""

    setting: Setting
    name: str
    place: int


Points = Mapping[Shown, tuple[float, float]]
"""Cost and reward of each setting shown."""


def pareto(rows: Sequence[Shown], folder: Path) -> Iterator[Path]:
    """Draw reward against what it cost: KL, and the length of samples; gives the files."""
    settings = [row.setting for row in rows]
    known = set(metrics_of(settings))
    reward = next((name for name in REWARDS if name in known and comparable(settings, name)), None)
    costs = [cost for names in COSTS if (cost := next((name for name in names if name in known), None))]
    if reward is None or len(settings) < 2:
        return
    for cost in costs:
        file = folder / f"pareto-{cost.rpartition('/')[2]}.png"
        points, bound = _points(rows, cost, reward), []
        if (cost, reward) == ("gold/kl", "gold/reward"):
            bound = best_samples(settings)
        with picture(file, size([*_named(points), FRONT, "", ""])) as axes:
            _tradeoff(axes, points, cost, reward)
            if bound:
                axes.plot(*zip(*bound, strict=True), color="black", lw=1, ls=":", label=BEST_OF_N)
            finish(axes, x=title_of(cost, settings), y=title_of(reward, settings))
        yield file


def best_samples(settings: Sequence[Setting]) -> list[tuple[float, float]]:
    """KL and gold reward of the best of n samples of the start, for each n that all runs drew so many of.

    Nothing where one sample was drawn of a prompt, or the runs do not begin with one model: n = 1 alone is a point.
    """
    runs = [run for setting in settings for run in setting.finished.values()]
    if len({str(run.config.get("model")) for run in runs}) > 1:
        return []
    drawn: list[list[float]] = []
    for run in runs:
        by_prompt: dict[str, list[float]] = {}
        for sample in (row for row in run.samples if "reward_before" in row):
            by_prompt.setdefault(sample["prompt"], []).append(sample["reward_before"])
        drawn += by_prompt.values()
    most = min(map(len, drawn), default=0)
    if most < 2:
        return []
    return [(best_of_n(n)[0], best_reward(drawn, n)) for n in range(1, most + 1)]


def frontier(rows: Sequence[Shown], folder: Path) -> Iterator[Path]:
    """Draw wins of samples over those of the start against KL, beside what best-of-n sampling of the start costs."""
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
    """Means over the seeds that have both cost and reward."""
    points = {}
    for row in rows:
        x, y = row.setting.values(cost), row.setting.values(reward)
        if seeds := [seed for seed in x if seed in y]:
            points[row] = fmean(x[seed] for seed in seeds), fmean(y[seed] for seed in seeds)
    return points


def _named(points: Points) -> list[str]:
    """The names in the legend: of lines, or else of rows; of too many rows those on the front."""
    if by_name := lines(list(points)):
        return list(by_name)
    if len(points) <= MOST_SETTINGS:
        return [row.name for row in points]
    return front({row.name: point for row, point in points.items()})


def lines(rows: Sequence[Shown]) -> dict[str, list[Shown]]:
    """The rows of each value of one key, in order of the number that is the other key, in a sweep over two keys.

    Any other sweep has no lines, nor has one with fewer than three numbers.
    """
    keys = grid([row.setting for row in rows])
    for (number, values), (other, names) in (keys[::-1], keys) if keys else ():
        if (
            len(values) >= FEWEST_IN_LINE
            and None not in map(number_of, values)
            and len(names) <= MOST_SETTINGS
        ):
            short = other.rpartition(".")[2]
            return {
                f"{short}={name}": sorted(
                    (row for row in rows if row.setting.choices[other] == name),
                    key=lambda row: float(row.setting.choices[number]),
                )
                for name in names
            }
    return {}


def _tradeoff(axes: Any, points: Points, cost: str, reward: str) -> None:
    by_name = lines(list(points))
    if not by_name:
        _rows(axes, points, cost, reward)
    for place, (name, rows) in enumerate(by_name.items()):
        style = look(place)
        for row in rows:
            _seeds(axes, row, cost, reward, style)
        axes.plot(*zip(*(points[row] for row in rows), strict=True), **style, lw=1.4, ms=7, label=name)


def _rows(axes: Any, points: Points, cost: str, reward: str) -> None:
    by_name, named = {row.name: point for row, point in points.items()}, _named(points)
    others = [point for name, point in by_name.items() if name not in named]
    if others:
        axes.plot(*zip(*others, strict=True), "o", color=PALE, ms=5, label=f"{len(others)} other rows")
    for row in (row for row in points if row.name in named):
        style = {key: value for key, value in look(row.place).items() if key != "linestyle"}
        _seeds(axes, row, cost, reward, style)
        axes.plot(*points[row], **style, ls="", ms=9, label=row.name, zorder=3)
    ring: dict[str, Any] = {"marker": "o", "ms": 15, "mfc": "none", "mew": 0.8, "lw": 1, "ls": "--"}
    best = [by_name[name] for name in front(by_name)]
    axes.plot(*zip(*best, strict=True), color="grey", zorder=1, label=FRONT, **ring)


def _seeds(axes: Any, row: Shown, cost: str, reward: str, style: Mapping[str, Any]) -> None:
    """Draw the runs of a row, small and pale."""
    x, y = row.setting.values(cost), row.setting.values(reward)
    seeds = [seed for seed in x if seed in y]
    marks = {**style, "linestyle": "", "ms": 4, "alpha": 0.35}
    axes.plot([x[s] for s in seeds], [y[s] for s in seeds], **marks)


def front(points: Mapping[str, tuple[float, float]]) -> list[str]:
    """Names of the points (cost, reward) that no other beats in one and equals or beats in the other, by cost.

    >>> front({"a": (1.0, 1.0), "b": (2.0, 3.0), "c": (3.0, 2.0)})
    ['a', 'b']
    """
    best, names = -math.inf, []
    for name, (_, reward) in sorted(points.items(), key=lambda item: (item[1][0], -item[1][1])):
        if reward > best:
            names.append(name)
            best = reward
    return names
