"""The jobs of a sweep on a cluster: which there are, their states, and the end of a failed job's log."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from alignlab.errors import RunError
from alignlab.launch.slurm import ENDED
from alignlab.runs.folder import write_text
from alignlab.runs.record import Record

LAST_LINES = 15
"""The number of lines shown of the log of a failed job."""


@dataclass(frozen=True)
class Job:
    """One run of a sweep, as it was sent to SLURM."""

    number: int
    id: str
    """The id that SLURM gave the job: `12_3`, or `12` where there is no array."""
    folder: str
    overrides: list[str]

    @property
    def run(self) -> Record:
        """The record of the job's run folder, read anew at each access."""
        return Record(Path(self.folder))

    @property
    def steps(self) -> int:
        """The number of optimizer steps that the job has done, as far as a checkpoint says."""
        return self.run.steps

    @property
    def log(self) -> Path:
        """The path of the file with all that the job and SLURM printed."""
        return self.run.path / "slurm.log"


def below(sweep: Path) -> Path:
    """Return the folder of a sweep that holds what its jobs need: scripts, logs, the code."""
    return sweep / "slurm"


def read(sweep: Path) -> list[Job]:
    """Return the jobs of a sweep; raises RunError where none were sent from this folder."""
    file = below(sweep) / "jobs.json"
    if not file.is_file():
        raise RunError(f"{sweep}: no jobs were sent from there (no {file.relative_to(sweep)})")
    return [Job(**job) for job in json.loads(file.read_text(encoding="utf-8"))]


def add(sweep: Path, jobs: Sequence[Job]) -> None:
    """Record jobs that were sent; a job that was sent anew replaces its old entry."""
    known = {job.number: job for job in read(sweep)} if (below(sweep) / "jobs.json").is_file() else {}
    known |= {job.number: job for job in jobs}
    text = json.dumps([asdict(known[number]) for number in sorted(known)], indent=2)
    write_text(below(sweep) / "jobs.json", text + "\n")


def alive(job: Job, states: Mapping[str, str]) -> bool:
    """Whether a job waits or runs, by the states that SLURM gives."""
    return job.id in states and states[job.id] not in ENDED


def standing(job: Job, states: Mapping[str, str]) -> str:
    """Return a job's state in one word: SLURM's while it is alive, then the run's own, then how SLURM ended it."""
    if alive(job, states):
        return states[job.id].lower()
    status = job.run.status
    return status if status in ("finished", "failed") else states.get(job.id, "ended").lower()


def failure(job: Job, states: Mapping[str, str]) -> str:
    """Return what became of a job that did not finish: its error, its log file, and the last lines of it."""
    text = job.log.read_text(encoding="utf-8", errors="replace") if job.log.is_file() else ""
    said = "".join(f"\n    {line}" for line in text.splitlines()[-LAST_LINES:])
    what = f"job {job.number} ({job.id}) {standing(job, states)}: {' '.join(job.overrides)}"
    return f"{what}\n  {job.run.error or 'it left no word'}\n  {job.log}:{said or ' empty'}"
