"""The results of finished runs, one small file each: a ledger that was broken off continues where it was."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import alignlab
from alignlab.claims.runs_of import Job, Metrics
from alignlab.runs.folder import write_text

PACKAGE = Path(alignlab.__file__).parent
NO_NUMBERS = ("claims", "report")
"""Packages that decide no number of a run."""


@dataclass(frozen=True)
class Cache:
    """Results in `results/`, runs that are under way in `runs/`, and what all of them share in `shared/`."""

    folder: Path

    def file(self, job: Job) -> Path:
        """The file that holds the result of a job."""
        return self.folder / "results" / f"{job.key}.json"

    def run(self, job: Job) -> Path:
        """The run folder of a job, there until its result is."""
        return self.folder / "runs" / job.key

    def read(self, job: Job) -> Mapping[str, Any] | None:
        """The result of a job, with its seconds and code; None where there is none."""
        file = self.file(job)
        return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None

    def results(self, job: Job) -> Metrics | None:
        """The metrics of a finished job; None of one that is not finished."""
        result = self.read(job)
        return None if result is None else result["metrics"]

    def write(self, job: Job, metrics: Metrics, seconds: float) -> None:
        """Keep a result, with the code that it comes from."""
        result = {
            "overrides": job.overrides,
            "seconds": round(seconds, 2),
            "code": code(),
            "metrics": metrics,
        }
        write_text(self.file(job), json.dumps(result, indent=1) + "\n")


@cache
def code() -> str:
    """A hash of all code that decides the numbers of a run."""
    digest = hashlib.sha256()
    files = [file for file in PACKAGE.rglob("*.py") if file.relative_to(PACKAGE).parts[0] not in NO_NUMBERS]
    for file in sorted(files):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]
