"""The table over many runs: means over seeds, intervals, differences from a baseline, stars where tested."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from alignlab.console import SHOWN
from alignlab.errors import ConfigError, nearest
from alignlab.runs.setting import Setting, metrics_of
from alignlab.uncertainty import (
    FEWEST,
    PLUS_MINUS,
    Difference,
    Estimate,
    compare,
    holm,
    mean_over_seeds,
    plus_minus,
    stars,
)


@dataclass(frozen=True)
class Cell:
    """A metric of a setting: its mean over seeds, and how it differs from the baseline, if that can be told."""

    estimate: Estimate
    difference: Difference | None = None
    p: float = math.nan
    """The p-value of the difference, corrected for the number of rows that were tested."""

    @property
    def text(self) -> str:
        """The mean, half its 95 % interval, and stars where the difference from the baseline is significant."""
        return plus_minus(self.estimate.value, self.estimate.half) + stars(self.p)

    @property
    def difference_text(self) -> str:
        """The difference from the baseline, half its 95 % interval, and stars where it is significant."""
        if self.difference is None:
            return ""
        return plus_minus(self.difference.mean, self.difference.half, "+.3f") + stars(self.p)


@dataclass(frozen=True)
class Table:
    """Rows are settings, the baseline among them; a cell is None where a setting has no such metric."""

    settings: Sequence[Setting]
    baseline: Setting
    metrics: Sequence[str]
    cells: Sequence[Sequence[Cell | None]]

    @property
    def header(self) -> list[str]:
        """The titles of the columns, with units."""
        return ["", "seeds", *(title_of(name, self.settings) for name in self.metrics)]

    @property
    def rows(self) -> list[list[str]]:
        """The texts of all cells: a row a setting, with its name and its number of seeds in front."""
        return [
            [setting.name, str(len(setting.finished)), *("" if cell is None else cell.text for cell in cells)]
            for setting, cells in zip(self.settings, self.cells, strict=True)
        ]

    @property
    def differences(self) -> list[list[str]]:
        """Differences of all other rows from the baseline, without the column of seeds; none where none can be told."""
        rows = [
            [setting.name, *("" if cell is None else cell.difference_text for cell in cells)]
            for setting, cells in zip(self.settings, self.cells, strict=True)
            if setting is not self.baseline
        ]
        return rows if any(any(row[1:]) for row in rows) else []

    @property
    def notes(self) -> list[str]:
        """Sentences that say what the numbers are, and what was tested."""
        several = any(len(setting.finished) > 1 for setting in self.settings)
        means = [f"mean over seeds {PLUS_MINUS} of that mean (Student's t)"] if several else []
        if len(self.settings) < 2:
            return means
        differences = [cell.difference for row in self.cells for cell in row if cell and cell.difference]
        tests = {difference.test for difference in differences if not math.isnan(difference.p)}
        if not tests:
            least = ", ".join(f"{name} from {count}" for name, count in FEWEST.items())
            return [*means, f"no differences were tested: too few seeds ({least}), or none that varies"]
        return [
            *means,
            f"difference from {self.baseline.name}: {' and '.join(sorted(tests))}"
            + (" over the seeds that both have" if tests - {"Welch's t"} else "")
            + ", two-sided, Holm-corrected over the rows of a column: * p < 0.05, ** p < 0.01, *** p < 0.001",
        ]


def title_of(metric: str, settings: Sequence[Setting]) -> str:
    """The name of a metric with its unit; the unit of implicit rewards is that of the settings' objectives."""
    units = {run.reward_unit for setting in settings for run in setting.finished.values()}
    text = SHOWN.get(metric, metric)
    return text.replace(", nats", f", {' or '.join(sorted(units))}") if "reward margin" in text else text


def make_table(
    settings: Sequence[Setting], *, metrics: Sequence[str] = (), baseline: str | None = None, test: str = "t"
) -> Table:
    """Compare all settings with the baseline, the first one unless another is named.

    Raises ConfigError on a metric that no run has, or an unknown baseline.
    """
    known = list(metrics_of(settings))
    for name in metrics:
        if name not in known:
            raise ConfigError(f"metrics={name}: no final metric of these runs: {nearest(name, known)}")
    names = {setting.name: setting for setting in settings}
    if baseline is not None and baseline not in names:
        raise ConfigError(f"baseline={baseline}: no such row: {nearest(baseline, names)}")
    base = names[baseline] if baseline is not None else settings[0]
    shown = list(metrics) or [name for name in SHOWN if name in known and tells(settings, name)]
    columns = [_column(settings, base, metric, test) for metric in shown]
    return Table(settings, base, shown, [[column[row] for column in columns] for row in range(len(settings))])


def comparable(settings: Sequence[Setting], metric: str) -> bool:
    """Whether a metric is on one scale in all settings: losses and implicit rewards are those of an objective."""
    if metric != "val/loss" and "reward margin" not in SHOWN.get(metric, ""):
        return True
    objectives = {
        str(run.config.get("objective")) for setting in settings for run in setting.finished.values()
    }
    return len(objectives) == 1


def tells(settings: Sequence[Setting], metric: str) -> bool:
    """Whether a metric can tell settings apart: losses of one objective can, the lengths of the same rows cannot."""
    if metric == "val/loss":
        return comparable(settings, metric)
    values = [setting.values(metric) for setting in settings]
    return len(settings) == 1 or any(value != values[0] for value in values)


def _column(settings: Sequence[Setting], base: Setting, metric: str, test: str) -> list[Cell | None]:
    values = [setting.values(metric) for setting in settings]
    differences = [
        None if setting is base else compare(own, base.values(metric), test)
        for setting, own in zip(settings, values, strict=True)
    ]
    p = {place: gap.p for place, gap in enumerate(differences) if gap and not math.isnan(gap.p)}
    corrected = dict(zip(p, holm([*p.values()]), strict=True))
    return [
        Cell(mean_over_seeds([*own.values()]), differences[place], corrected.get(place, math.nan))
        if own
        else None
        for place, own in enumerate(values)
    ]
