"""Pictures over many runs: curves of the groups, reward against KL and length, a heat map of two settings."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean

from alignlab.console import SHOWN
from alignlab.report.figures import finish, look, picture, size
from alignlab.report.statistics import Estimate, estimate
from alignlab.report.table import tells, told
from alignlab.report.tradeoffs import MOST_GROUPS, Shown, frontier, pareto
from alignlab.runs.groups import Group, grid, metrics_of, short_names
from alignlab.runs.record import Series

MOST_BANDS = 6
"""More bands would hide each other."""
FEWEST_IN_BAND = 3
"""Seeds; the interval of two is thirteen times as wide as they are apart."""
BEST = ("gold/reward", "val/rewards/accuracy", "val/loss")


def compare_plots(groups: Sequence[Group], folder: Path) -> list[Path]:
    """All pictures that these groups have numbers for."""
    names = short_names(groups)
    rows = [Shown(group, names[group.label], place) for place, group in enumerate(ranked(groups))]
    return [
        *pareto(rows, folder),
        *frontier(rows, folder),
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
