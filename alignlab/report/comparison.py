"""Pictures over many runs: curves of settings, reward against KL and length, the heat map of a sweep over two keys."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean

from alignlab.console import SHOWN
from alignlab.report.effects import draw_effects
from alignlab.report.figures import finish, look, picture, size
from alignlab.report.table import tells, title_of
from alignlab.report.tradeoffs import MOST_SETTINGS, Shown, frontier, pareto
from alignlab.runs.ranking import minimized, ranked
from alignlab.runs.record import Series
from alignlab.runs.setting import Setting, grid, metrics_of, short_names
from alignlab.uncertainty import Estimate, mean_over_seeds

MOST_BANDS = 6
"""More bands would hide each other."""
FEWEST_IN_BAND = 3
"""Seeds; the interval of two is thirteen times as wide as they are apart."""
BEST = ("gold/reward", "val/rewards/accuracy", "val/loss")


def compare_plots(settings: Sequence[Setting], folder: Path) -> list[Path]:
    """Draw all pictures that these settings have numbers for; gives their files."""
    names = short_names(settings)
    rows = [Shown(setting, names[setting.name], place) for place, setting in enumerate(best_first(settings))]
    return [
        *pareto(rows, folder),
        *frontier(rows, folder),
        *_heat_map(settings, folder),
        *draw_effects(settings, best_metric(settings), folder),
        *_overlays(rows, folder),
    ]


def best_first(settings: Sequence[Setting]) -> Sequence[Setting]:
    """The settings in their own order; where they are more than a picture can hold, the best first."""
    metric = best_metric(settings)
    if len(settings) <= MOST_SETTINGS or metric is None:
        return settings
    return ranked(settings, metric, smallest_first=minimized(metric, "auto"))


def best_metric(settings: Sequence[Setting]) -> str | None:
    """The metric that settings are judged by where one number must do; None where they have none of these."""
    known = set(metrics_of(settings))
    return next((name for name in BEST if name in known), None)


def curve(setting: Setting, metric: str) -> tuple[list[int], list[Estimate]]:
    """The steps at which all runs of a setting report a metric, and its mean over these runs at each of them."""
    runs = setting.finished.values()
    series: list[Series] = [run.history[metric] for run in runs if metric in run.history]
    if not series:
        return [], []
    by_step = [dict(zip(*one, strict=True)) for one in series]
    steps = sorted(set.intersection(*map(set, by_step)))
    return steps, [mean_over_seeds([values[step] for values in by_step]) for step in steps]


def _overlays(rows: Sequence[Shown], folder: Path) -> Iterator[Path]:
    settings, drawn = [row.setting for row in rows], rows[:MOST_SETTINGS]
    for metric in (name for name in SHOWN if name.startswith("val/")):
        curves = {row: curve(row.setting, metric) for row in drawn}
        if max(len(steps) for steps, _ in curves.values()) < 2 or not tells(settings, metric):
            continue
        file = folder / f"curve-{metric.removeprefix('val/').replace('/', '-')}.png"
        with picture(file, size([row.name for row in drawn])) as axes:
            for row, (steps, points) in curves.items():
                means = [point.value for point in points]
                axes.plot(steps, means, **look(row.place), lw=1.8, ms=5, label=row.name)
                if points and len(settings) <= MOST_BANDS and points[0].count >= FEWEST_IN_BAND:
                    low, high = [point.low for point in points], [point.high for point in points]
                    axes.fill_between(steps, low, high, color=look(row.place)["color"], alpha=0.12, lw=0)
            if len(rows) > len(drawn):
                by = title_of(str(best_metric(settings)), settings)
                axes.set_title(f"the best {len(drawn)} of {len(rows)} rows by {by}", fontsize=9, loc="left")
            finish(axes, x="optimizer steps", y=f"validation: {title_of(metric, settings)}", whole_x=True)
        yield file


def _heat_map(settings: Sequence[Setting], folder: Path) -> Iterator[Path]:
    keys, metric = grid(settings), best_metric(settings)
    if keys is None or metric is None:
        return
    (down, rows), (across, columns) = keys
    cells = {
        (setting.choices[down], setting.choices[across]): [*setting.values(metric).values()]
        for setting in settings
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
