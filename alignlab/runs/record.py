"""A finished (or broken off) run as its folder tells it."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from alignlab.errors import RunError
from alignlab.runs.folder import RunFolder

Series = tuple[list[int], list[float]]
"""Optimizer steps, and the values reported at them."""
History = Mapping[str, Series]
"""Metrics by their names in metrics.csv."""

STEP, STAGE = "step", "stage"
"""Columns of metrics.csv that are no metrics."""


@dataclass(frozen=True)
class Record:
    """What one run folder holds; empty where a file is not there."""

    path: Path
    config: Mapping[str, Any]
    manifest: Mapping[str, Any]
    summary: Mapping[str, Any]
    overrides: tuple[str, ...]
    history: History
    stage_starts: tuple[int, ...]
    """Steps at which the second and later stages begin."""
    samples: tuple[Mapping[str, Any], ...]

    @property
    def initial(self) -> Mapping[str, float]:
        """Metrics before the first step."""
        return self.summary.get("initial") or {}

    @property
    def final(self) -> Mapping[str, float]:
        """Metrics after the last one."""
        return self.summary.get("final") or {}

    @property
    def reward_unit(self) -> str:
        """Of the implicit rewards: nats a token where the objective divides by the length."""
        objective = self.config.get("objective") or {}
        choice = objective.get("implicit_reward", "sum")
        over_tokens = (objective.get("loss") or {}).get(choice, choice)
        return "nats a token" if over_tokens == "mean" else "nats"

    @property
    def title(self) -> str:
        """Objective and data."""
        return f"{self.summary.get('objective', '?')} on {self.summary.get('data', '?')}"


def read_run(path: Path) -> Record:
    """Read a run folder; RunError where it is none."""
    folder = RunFolder(path)
    if not (path / "summary.json").is_file():
        raise RunError(f"{path} is no run folder: there is no summary.json in it")
    config = _text(path / "config.yaml")
    return Record(
        path=path,
        config=yaml.safe_load(config) or {},
        manifest=folder.read_json("manifest.json"),
        summary=folder.read_json("summary.json"),
        overrides=tuple(_text(path / "overrides.txt").splitlines()),
        history=read_history(folder.metrics),
        stage_starts=stage_starts(folder.metrics),
        samples=tuple(folder.read_lines("samples.jsonl")),
    )


def read_history(metrics: Path) -> dict[str, Series]:
    """Each metric of metrics.csv as (steps, values), leaving out the steps where it was not reported."""
    history: dict[str, Series] = {}
    for row in _rows(metrics):
        for name, value in row.items():
            if name not in (STEP, STAGE) and value:
                steps, values = history.setdefault(name, ([], []))
                steps.append(int(row[STEP]))
                values.append(float(value))
    return history


def stage_starts(metrics: Path) -> tuple[int, ...]:
    """The step that each stage after the first begins at."""
    starts: dict[str, int] = {}
    for row in _rows(metrics):
        starts.setdefault(row.get(STAGE) or "", int(row[STEP]))
    return tuple(starts.values())[1:]


def _rows(metrics: Path) -> list[dict[str, str]]:
    if not metrics.is_file():
        return []
    with metrics.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8") if file.is_file() else ""
