"""The table of a sweep: its settings with their means over seeds, the best one first, printed and kept as csv."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from alignlab.console import print_table
from alignlab.runs.folder import write_text
from alignlab.runs.ranking import ranked
from alignlab.runs.record import Record, runs_below
from alignlab.runs.setting import Setting, number_of, settings_of
from alignlab.uncertainty import PLUS_MINUS, mean_over_seeds, plus_minus

FILE = "sweep_summary.csv"
SHOWN = (
    "gold/reward",
    "gold/kl",
    "val/loss",
    "val/rewards/accuracy",
    "val/ranking_accuracy",
    "val/rewards/margin",
)
"""Metrics that stand beside the one that is optimized."""
LONG_NUMBER = len("0.00001")
"""Letters above which a number in the name of a setting is rounded."""


@dataclass(frozen=True)
class SweepSummary:
    """The summary of a sweep folder, whose settings are ranked by a metric."""

    folder: Path
    metric: str
    smallest_first: bool

    def write(self) -> tuple[list[Record], list[Setting]]:
        """Write `sweep_summary.csv` from what is there now, whoever else does so; gives runs and ranked settings."""
        with FileLock(self.folder / f".{FILE}.lock"):
            runs = list(runs_below(self.folder))
            settings = ranked(settings_of(runs), self.metric, smallest_first=self.smallest_first)
            write_text(self.folder / FILE, self._csv(settings))
        return runs, settings

    def show(self) -> None:
        """Print the table, what failed, and the command that makes a run of the best setting again."""
        runs, settings = self.write()
        if not runs:
            return
        metrics = self._metrics(settings)
        order = f"{'smallest' if self.smallest_first else 'largest'} {self.metric} first"
        header = ["", "seeds", *(name.removeprefix("val/") for name in metrics)]
        rows = [
            [
                _short(setting),
                str(len(setting.values(self.metric))),
                *(_cell(setting.values(name)) for name in metrics),
            ]
            for setting in settings
        ]
        several = any(len(setting.values(name)) > 1 for setting in settings for name in metrics)
        means = f": mean over seeds {PLUS_MINUS}" if several else ""
        print_table(f"sweep, {order}{means}", header, rows)
        for run in runs:
            if not run.finished:
                print(f"job {run.path.name} {run.status}: {run.error or 'train.log may say why'}")
        print(f"sweep folder: {self.folder} ({FILE})")
        if settings[0].values(self.metric):
            print(f"the best again: {settings[0].command}")

    def _metrics(self, settings: Sequence[Setting]) -> list[str]:
        """The columns: the metric that is optimized, and others that some setting has."""
        return [
            name
            for name in dict.fromkeys([self.metric, *SHOWN])
            if name == self.metric or any(setting.values(name) for setting in settings)
        ]

    def _csv(self, settings: Sequence[Setting]) -> str:
        """A line a setting, in full precision; `<metric>_ci95` is half the width of the 95 % interval of the mean."""
        metrics, text = self._metrics(settings), io.StringIO()
        writer = csv.writer(text)
        columns = [f"{name}{end}" for name in metrics for end in ("", "_ci95")]
        writer.writerow(["setting", "seeds", "failed", *columns, "jobs", "error", "command"])
        for setting in settings:
            failed = [run for run in setting.runs if run.status == "failed"]
            means = [mean_over_seeds([*setting.values(name).values()]) for name in metrics]
            numbers = [number for mean in means for number in (mean.value, mean.half)]
            writer.writerow(
                [
                    setting.name,
                    len(setting.values(self.metric)),
                    len(failed),
                    *("" if math.isnan(number) else number for number in numbers),
                    " ".join(run.path.name for run in setting.runs),
                    failed[0].error if failed else "",
                    setting.command,
                ]
            )
        return text.getvalue()


def short_number(value: object) -> str:
    """Four digits of a number with a fraction, and anything else as it is.

    >>> short_number(0.123456), short_number(3), short_number("dpo")
    ('0.1235', '3', 'dpo')
    """
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _short(setting: Setting) -> str:
    """The name of a setting, with long numbers rounded."""
    words = []
    for word in setting.name.split(" "):
        key, equals, value = word.partition("=")
        number = number_of(value) if len(value) > LONG_NUMBER else None
        words.append(word if number is None else f"{key}{equals}{short_number(number)}")
    return " ".join(words)


def _cell(values: Mapping[str, float]) -> str:
    if not values:
        return ""
    mean = mean_over_seeds([*values.values()])
    return plus_minus(mean.value, mean.half)
