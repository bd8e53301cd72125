"""The table over many runs: means over seeds, intervals, differences from a baseline, stars where tested."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from alignlab.console import SHOWN
from alignlab.errors import ConfigError, nearest
from alignlab.report.statistics import FEWEST, Difference, Estimate, compare, estimate, holm, stars
from alignlab.runs.groups import Group, metrics_of


@dataclass(frozen=True)
class Cell:
    """A metric of a group: its mean over seeds, and how it differs from the baseline, if that can be told."""

    estimate: Estimate
    difference: Difference | None = None
    p: float = math.nan
    """Corrected."""

    @property
    def text(self) -> str:
        """Mean, half of the interval, stars."""
        return _figure("{:.3f}", self.estimate.mean, self.estimate.half) + stars(self.p)

    @property
    def difference_text(self) -> str:
        """Difference from the baseline, half of its interval, stars."""
        if self.difference is None:
            return ""
        return _figure("{:+.3f}", self.difference.mean, self.difference.half) + stars(self.p)


@dataclass(frozen=True)
class Table:
    """Rows are groups, the baseline among them; a cell is None where a group has no such metric."""

    groups: Sequence[Group]
    baseline: Group
    metrics: Sequence[str]
    cells: Sequence[Sequence[Cell | None]]

    @property
    def header(self) -> list[str]:
        """Titles of the columns, with units."""
        return ["", "seeds", *(told(name, self.groups) for name in self.metrics)]

    @property
    def rows(self) -> list[list[str]]:
        """Texts of the cells."""
        return [
            [group.label, str(len(group.runs)), *("" if cell is None else cell.text for cell in cells)]
            for group, cells in zip(self.groups, self.cells, strict=True)
        ]

    @property
    def differences(self) -> list[list[str]]:
        """Differences of all other rows from the baseline, without the column of seeds; none where none can be told."""
        rows = [
            [group.label, *("" if cell is None else cell.difference_text for cell in cells)]
            for group, cells in zip(self.groups, self.cells, strict=True)
            if group is not self.baseline
        ]
        return rows if any(any(row[1:]) for row in rows) else []

    @property
    def notes(self) -> list[str]:
        """What the numbers are, and what was tested."""
        told = ["mean over seeds ± half of the 95 % confidence interval of that mean (Student's t)"]
        if len(self.groups) < 2:
            return told
        found = [cell.difference for row in self.cells for cell in row if cell and cell.difference]
        tests = {difference.test for difference in found if not math.isnan(difference.p)}
        if not tests:
            least = ", ".join(f"{name} from {count}" for name, count in FEWEST.items())
            return [*told, f"no differences were tested: too few seeds ({least}), or none that varies"]
        return [
            *told,
            f"difference from {self.baseline.label}: {' and '.join(sorted(tests))}"
            + (" over the seeds that both have" if tests - {"Welch's t"} else "")
            + ", two-sided, Holm-corrected over the rows of a column: * p < 0.05, ** p < 0.01, *** p < 0.001",
        ]


def told(metric: str, groups: Sequence[Group]) -> str:
    """What a metric is called, with its unit; that of implicit rewards is the objectives' own."""
    units = {run.reward_unit for group in groups for run in group.runs.values()}
    text = SHOWN.get(metric, metric)
    return text.replace(", nats", f", {' or '.join(sorted(units))}") if "reward margin" in text else text


def make_table(
    groups: Sequence[Group], *, metrics: Sequence[str] = (), baseline: str | None = None, test: str = "t"
) -> Table:
    """Compare all groups with the baseline, the first one unless named by its label.

    Raises ConfigError on a metric that no run has, or an unknown baseline.
    """
    known = list(metrics_of(groups))
    for name in metrics:
        if name not in known:
            raise ConfigError(f"--metrics {name}: no final metric of these runs: {nearest(name, known)}")
    names = {group.label: group for group in groups}
    if baseline is not None and baseline not in names:
        raise ConfigError(f"--baseline '{baseline}': no such row: {nearest(baseline, names)}")
    base = names[baseline] if baseline is not None else groups[0]
    shown = list(metrics) or [name for name in SHOWN if name in known and tells(groups, name)]
    columns = [_column(groups, base, metric, test) for metric in shown]
    return Table(groups, base, shown, [[column[row] for column in columns] for row in range(len(groups))])


def comparable(groups: Sequence[Group], metric: str) -> bool:
    """Whether a metric is on one scale in all groups: losses and implicit rewards are those of an objective."""
    own = metric == "val/loss" or "reward margin" in SHOWN.get(metric, "")
    return (
        not own
        or len({str(run.config.get("objective")) for group in groups for run in group.runs.values()}) == 1
    )


def tells(groups: Sequence[Group], metric: str) -> bool:
    """Whether a metric can tell groups apart: losses of one objective can, the lengths of the same rows cannot."""
    if metric == "val/loss":
        return comparable(groups, metric)
    values = [group.values(metric) for group in groups]
    return len(groups) == 1 or any(value != values[0] for value in values)


def _column(groups: Sequence[Group], base: Group, metric: str, test: str) -> list[Cell | None]:
    values = [group.values(metric) for group in groups]
    differences = [
        None if group is base else compare(mine, base.values(metric), test)
        for group, mine in zip(groups, values, strict=True)
    ]
    p = {place: found.p for place, found in enumerate(differences) if found and not math.isnan(found.p)}
    corrected = dict(zip(p, holm([*p.values()]), strict=True))
    return [
        Cell(estimate([*mine.values()]), differences[place], corrected.get(place, math.nan)) if mine else None
        for place, mine in enumerate(values)
    ]


def _figure(form: str, mean: float, half: float) -> str:
    return form.format(round(mean, 3) + 0.0) + ("" if math.isnan(half) else f" ± {half:.3f}")
