"""The table of a sweep: settings, their means and standard errors over seeds, the best one first."""

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from filelock import FileLock
from omegaconf import DictConfig

from alignlab.console import print_table
from alignlab.runs.folder import write_text
from alignlab.runs.results import (
    Job,
    Setting,
    figure,
    minimized,
    ranked,
    read_jobs,
    standard_error,
    target_of,
)

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


@dataclass(frozen=True)
class Summary:
    """A sweep folder, and what its settings are ranked by."""

    folder: Path
    metric: str
    smallest_first: bool

    @classmethod
    def of(cls, config: DictConfig) -> "Summary":
        """The sweep of a config, its own or that of one of its jobs."""
        metric = target_of(config)
        folder = Path(config.hydra.runtime.cwd) / config.hydra.sweep.dir
        return cls(folder, metric, minimized(metric, config.optimized_direction))

    def write(self) -> tuple[list[Job], list[Setting]]:
        """Write `sweep_summary.csv` from what is there now, whoever else does so; gives jobs and ranked settings."""
        with FileLock(self.folder / f".{FILE}.lock"):
            jobs = read_jobs(self.folder)
            settings = ranked(jobs, self.metric, smallest_first=self.smallest_first)
            write_text(self.folder / FILE, self._csv(settings))
        return jobs, settings

    def show(self) -> None:
        """Print the table, what failed, and the command that runs the best setting again."""
        jobs, settings = self.write()
        if not jobs:
            return
        metrics = self._metrics(settings)
        order = f"{'smallest' if self.smallest_first else 'largest'} {self.metric} first"
        header = ["", "seeds", *(name.removeprefix("val/") for name in metrics)]
        rows = [
            [
                " ".join(map(_short, own)),
                str(len(setting.values(self.metric))),
                *(_cell(setting.values(name)) for name in metrics),
            ]
            for own, setting in zip(_apart(settings), settings, strict=True)
        ]
        print_table(f"sweep, {order}: mean ± standard error over seeds", header, rows)
        for job in jobs:
            if job.status != "finished":
                print(f"job {job.folder.name} {job.status}: {job.error or 'train.log may say why'}")
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
        metrics, text = self._metrics(settings), io.StringIO()
        writer = csv.writer(text)
        numbers = [f"{name}{end}" for name in metrics for end in ("", "_se")]
        writer.writerow(["setting", "seeds", "failed", *numbers, "jobs", "error", "command"])
        for own, setting in zip(_apart(settings), settings, strict=True):
            failed = [job for job in setting.jobs if job.status == "failed"]
            values = [setting.values(name) for name in metrics]
            pairs = [
                (fmean(found), standard_error(found)) if found else (math.nan, math.nan) for found in values
            ]
            writer.writerow(
                [
                    " ".join(own),
                    len(setting.values(self.metric)),
                    len(failed),
                    *("" if math.isnan(number) else number for pair in pairs for number in pair),
                    " ".join(job.folder.name for job in setting.jobs),
                    failed[0].error if failed else "",
                    setting.command,
                ]
            )
        return text.getvalue()


def _apart(settings: Sequence[Setting]) -> list[list[str]]:
    """What tells each setting from the others."""
    shared = (
        set.intersection(*(set(setting.overrides) for setting in settings)) if len(settings) > 1 else set()
    )
    return [[text for text in setting.overrides if text not in shared] for setting in settings]


def _short(override: str) -> str:
    key, equals, value = override.partition("=")
    try:
        return f"{key}={figure(float(value))}" if len(value) > len("0.00001") else override
    except ValueError:
        return f"{key}{equals}{value}"


def _cell(values: Sequence[float]) -> str:
    if not values:
        return ""
    error = standard_error(values)
    return f"{fmean(values):.4f}" + ("" if math.isnan(error) else f" ± {error:.4f}")
