"""The one reader of run folders: a run, finished or not, as its folder tells it."""

import csv
import io
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from alignlab.errors import RunError
from alignlab.runs import overrides as texts
from alignlab.runs.config_keys import is_seed
from alignlab.runs.folder import RunFolder

log = logging.getLogger(__name__)

SAFE_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The safe loader, in C where PyYAML was built with it: a sweep reads all its configs after each of its jobs."""

Series = tuple[list[int], list[float]]
"""Optimizer steps, and the values reported at them."""
History = Mapping[str, Series]
"""Metrics by their names in metrics.csv."""

STEP, STAGE = "step", "stage"
"""Columns of metrics.csv that are no metrics."""


def _are_numbers(value: Any) -> bool:
    numbers = (int, float, type(None))
    return value is None or (isinstance(value, dict) and all(isinstance(v, numbers) for v in value.values()))


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


SUMMARY = {
    "steps": lambda value: isinstance(value, int),
    **dict.fromkeys(("initial", "final", "best", "timings"), _are_numbers),
}
"""The form of values in summary.json that are worked with: a test for each."""
MANIFEST = {"overrides": _is_texts, "searchpath": _is_texts, "config": lambda value: isinstance(value, dict)}
"""The same of manifest.json."""
CONFIG = {
    "objective": lambda value: (
        isinstance(value, dict) and isinstance(value.get("loss", {}), (dict, type(None)))
    )
}
"""The same of config.yaml."""


@dataclass(frozen=True)
class Record:
    """The contents of one run folder. A file is read once, when it is first asked for; what is not there is empty.

    What is damaged, or of another form than a run writes, is told once and taken as missing.
    """

    path: Path

    @property
    def folder(self) -> RunFolder:
        """The folder itself, for its other files."""
        return RunFolder(self.path)

    @cached_property
    def summary(self) -> Mapping[str, Any]:
        """summary.json: the status, the metrics and the seconds of the run."""
        return _of_form(self.folder.read_json("summary.json"), SUMMARY, self.path / "summary.json")

    @cached_property
    def manifest(self) -> Mapping[str, Any]:
        """manifest.json: versions, commit, command, hardware and data."""
        return _of_form(self.folder.read_json("manifest.json"), MANIFEST, self.path / "manifest.json")

    @cached_property
    def config(self) -> Mapping[str, Any]:
        """config.yaml, the resolved config; a run that died before it had one has none."""
        try:
            config = yaml.load(self.folder.read_text("config.yaml"), Loader=SAFE_LOADER) or {}
        except (yaml.YAMLError, ValueError, RecursionError):
            config = None
        if not isinstance(config, dict) or not all(isinstance(key, str) for key in config):
            log.warning("%s is damaged, and is taken as missing", self.path / "config.yaml")
            return {}
        return _of_form(config, CONFIG, self.path / "config.yaml")

    @cached_property
    def overrides(self) -> tuple[str, ...]:
        """The overrides that the run (of several stages: the stage) was started with, without those of `resume`."""
        return tuple(texts.without_resume(self.folder.read_text("overrides.txt").splitlines()))

    @cached_property
    def history(self) -> History:
        """Each metric of metrics.csv as (steps, values), leaving out the steps where it was not reported."""
        history: dict[str, Series] = {}
        for row in self._metric_rows:
            for name, value in row.items():
                if name not in (STEP, STAGE) and value:
                    steps, values = history.setdefault(name, ([], []))
                    steps.append(int(row[STEP]))
                    values.append(float(value))
        return history

    @cached_property
    def stage_starts(self) -> tuple[int, ...]:
        """Steps at which the second and later stages begin."""
        starts: dict[str, int] = {}
        for row in self._metric_rows:
            starts.setdefault(row.get(STAGE) or "", int(row[STEP]))
        return tuple(starts.values())[1:]

    @cached_property
    def samples(self) -> tuple[Mapping[str, Any], ...]:
        """The rows of samples.jsonl: prompts with the responses before and after the training."""
        return tuple(self.folder.read_lines("samples.jsonl"))

    @property
    def status(self) -> str:
        """One of finished, interrupted and failed; `not begun` where there is no summary."""
        return str(self.summary.get("status", "not begun"))

    @property
    def finished(self) -> bool:
        """Whether the run came to its end."""
        return self.status == "finished"

    @property
    def error(self) -> str:
        """The error that ended a failed run; empty for any other run."""
        return str(self.summary.get("error") or "")

    @property
    def steps(self) -> int:
        """Optimizer steps done, as far as they are on record."""
        return int(self.summary.get("steps", 0))

    @property
    def initial(self) -> Mapping[str, float]:
        """Metrics before the first step."""
        return self.summary.get("initial") or {}

    @property
    def final(self) -> Mapping[str, float]:
        """Metrics after the last step."""
        return self.summary.get("final") or {}

    @property
    def timings(self) -> Mapping[str, float]:
        """Seconds by what they were spent on."""
        return self.summary.get("timings") or {}

    def result(self, metric: str) -> float | None:
        """A final metric of a finished run; None of any other run, and of a metric that is missing or NaN."""
        value = self.final.get(metric) if self.finished else None
        return None if value is None or math.isnan(value) else value

    @property
    def seed(self) -> str:
        """The seed of the run, with any other seed that was set behind it, such as `3 model.loader.seed=7`."""
        typed = {texts.key_of(text): text for text in self.overrides if is_seed(texts.key_of(text))}
        own = typed.pop("seed", "").partition("=")[2]
        return " ".join([str(self.config.get("seed", own)), *typed.values()])

    @property
    def reward_unit(self) -> str:
        """The unit of the implicit rewards: nats, nats a token where the objective divides by the length, or scores."""
        objective = self.config.get("objective") or {}
        choice = objective.get("implicit_reward", "sum")
        if choice == "values":
            return "score"
        over_tokens = (objective.get("loss") or {}).get(choice, choice)
        return "nats a token" if over_tokens == "mean" else "nats"

    @property
    def title(self) -> str:
        """Objective and data; of a run that died before they were known, its overrides."""
        if "objective" not in self.summary:
            return " ".join(self.overrides) or self.path.name
        return f"{self.summary['objective']} on {self.summary.get('data', '?')}"

    @property
    def command(self) -> str:
        """The command that makes this run again, alone; of a stage, that of its whole run."""
        line = texts.without_resume(self.manifest.get("overrides", self.overrides))
        return texts.command(line, self.manifest.get("searchpath", ()))

    @cached_property
    def _metric_rows(self) -> Sequence[Mapping[str, str]]:
        text = self.folder.read_text(self.folder.metrics.name).replace("\0", "")
        try:
            rows = list(csv.DictReader(io.StringIO(text, newline="")))
        except csv.Error:
            rows = []
        sound = [row for row in rows if _is_report(row)]
        if len(sound) < len(rows) or (text and not rows):
            log.warning("%s is damaged: %d of its rows can be read", self.folder.metrics, len(sound))
        return sound


def read_run(path: Path) -> Record:
    """The record of a run folder; RunError where the folder holds no run."""
    if not (path / "summary.json").is_file():
        raise RunError(f"{path} is no run folder: there is no summary.json in it")
    return Record(path)


def runs_below(folder: Path) -> Iterator[Record]:
    """Every run in a folder or below it, jobs of a sweep by their number; stages belong to their run."""
    paths = {file.parent for file in folder.rglob("summary.json")}
    for path in sorted(paths, key=_by_number):
        if path.parent.name != "stages":
            yield Record(path)


def find_runs(folders: Sequence[Path]) -> list[Record]:
    """All runs below these folders, each once. RunError where there is none, or no such folder."""
    for folder in folders:
        if not folder.is_dir():
            raise RunError(f"runs={folder}: no such folder")
    runs = {run.path: run for folder in folders for run in runs_below(folder.resolve())}
    if not runs:
        raise RunError(f"runs={','.join(map(str, folders))}: no run in there (a run has a summary.json)")
    return [*runs.values()]


def _by_number(path: Path) -> tuple[Path, int, str]:
    """Jobs of a sweep by their number, so that 2 stands before 10."""
    return path.parent, int(path.name) if path.name.isdigit() else -1, path.name


def _of_form(content: Mapping[str, Any], form: Mapping[str, Any], file: Path) -> Mapping[str, Any]:
    """The content without the values that are not of the form a run writes, which are told."""
    strange = [key for key, is_sound in form.items() if key in content and not is_sound(content[key])]
    if strange:
        log.warning("%s is damaged: %s is left out", file, ", ".join(strange))
    return {key: value for key, value in content.items() if key not in strange}


def _is_report(row: Mapping[Any, Any]) -> bool:
    """Whether a row of metrics.csv has a step, and numbers in all its other cells but that of the stage."""
    try:
        int(row[STEP])
        return None not in row and all(
            float(v) or True for k, v in row.items() if k not in (STEP, STAGE) and v
        )
    except (KeyError, ValueError, TypeError):
        return False
