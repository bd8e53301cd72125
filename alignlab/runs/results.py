"""What the jobs of a sweep came to, read from their folders, wherever they ran."""

import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from omegaconf import DictConfig

from alignlab.runs.folder import RunFolder
from alignlab.runs.overrides import without_resume

SMALLER = ("loss", "kl", "kl_exact")
"""Last parts of names of metrics that are better where they are smaller."""


@dataclass(frozen=True)
class Job:
    """A run of a sweep; `final` is empty until it is finished."""

    folder: Path
    overrides: Sequence[str]
    searchpath: Sequence[str]
    status: str
    error: str
    final: Mapping[str, float]

    @property
    def seed(self) -> str:
        """As it was given; empty where it was not."""
        return next((text.partition("=")[2] for text in self.overrides if text.startswith("seed=")), "")

    @property
    def command(self) -> str:
        """Runs it again, alone."""
        return shlex.join(["python", "train.py", *self.searchpath, *self.overrides])


@dataclass(frozen=True)
class Setting:
    """Jobs that differ by their seeds alone."""

    overrides: Sequence[str]
    jobs: Sequence[Job]

    def values(self, metric: str) -> list[float]:
        """A final metric of the jobs that have it."""
        found = [job.final[metric] for job in self.jobs if metric in job.final]
        return [value for value in found if not math.isnan(value)]

    @property
    def command(self) -> str:
        """Runs the first of these jobs again, one that finished where there is one."""
        return next((job.command for job in [*self.finished, *self.jobs]), "")

    @property
    def finished(self) -> list[Job]:
        """Those that came to their end."""
        return [job for job in self.jobs if job.status == "finished"]


def read_job(folder: Path) -> Job:
    """What a folder tells of the job in it, as far as that has come."""
    summary, manifest = map(RunFolder(folder).read_json, ("summary.json", "manifest.json"))
    started = folder / "overrides.txt"
    overrides = started.read_text(encoding="utf-8").splitlines() if started.is_file() else []
    status = summary.get("status", "failed")
    return Job(
        folder=folder,
        overrides=without_resume(overrides),
        searchpath=manifest.get("searchpath", []),
        status=status,
        error=summary.get("error", ""),
        final=summary.get("final", {}) if status == "finished" else {},
    )


def read_jobs(sweep: Path) -> list[Job]:
    """Every job of a sweep folder that has begun, in order: 2 before 10."""
    folders = {file.parent for file in sweep.rglob("summary.json") if file.parent.parent.name != "stages"}
    return [read_job(folder) for folder in sorted(folders, key=_by_number)]


def target_of(config: Mapping[str, Any] | DictConfig) -> str:
    """The metric that settings are ranked by; `optimized_metric=auto` is the exact reward where it is measured."""
    if (metric := config["optimized_metric"]) != "auto":
        return str(metric)
    return "gold/reward" if config["evaluation"].get("reward") else "val/rewards/accuracy"


def minimized(metric: str, direction: str) -> bool:
    """Whether less is better: as told, and of `auto` for losses and divergences.

    >>> minimized("val/loss", "auto"), minimized("gold/reward", "auto"), minimized("gold/reward", "minimize")
    (True, False, True)
    """
    return metric.rpartition("/")[2] in SMALLER if direction == "auto" else direction == "minimize"


def ranked(jobs: Sequence[Job], metric: str, *, smallest_first: bool) -> list[Setting]:
    """Settings by the mean of a metric over their seeds, the best first.

    Those with fewer seeds than others (pruned, failed, not there yet) stand behind: their means are of other runs.
    """
    members: dict[frozenset[str], list[Job]] = {}
    for job in jobs:
        members.setdefault(frozenset(_without_seed(job)), []).append(job)
    settings = [Setting(list(_without_seed(jobs[0])), jobs) for jobs in members.values()]
    most = max((len(setting.values(metric)) for setting in settings), default=0)

    def place(setting: Setting) -> tuple[bool, bool, float]:
        values = setting.values(metric)
        mean = fmean(values) if values else 0.0
        return not values, len(values) < most, mean if smallest_first else -mean

    return sorted(settings, key=place)


def standard_error(values: Sequence[float]) -> float:
    """Of a mean; NaN of fewer than two values.

    >>> standard_error([1.0, 2.0, 3.0])
    0.5773502691896258
    """
    return stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan


def figure(value: object) -> str:
    """For people: four digits of a number, anything else as it is."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _without_seed(job: Job) -> Iterator[str]:
    if not job.overrides:
        yield f"folder {job.folder.name}"
    yield from (text for text in job.overrides if not text.startswith("seed="))


def _by_number(path: Path) -> tuple[Path, int, str]:
    return path.parent, int(path.name) if path.name.isdigit() else -1, path.name
