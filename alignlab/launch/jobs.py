"""The jobs of a sweep on a cluster: which there are, how they stand, and what those that failed said last."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from alignlab.errors import RunError
from alignlab.launch.slurm import ENDED
from alignlab.runs.folder import write_text
from alignlab.runs.record import Record

LAST_LINES = 15
"""How much of the log of a failed job is shown."""


@dataclass(frozen=True)
class Job:
    """One run of a sweep, as it was sent."""

    number: int
    id: str
    """The number that SLURM gave it: `12_3`, or `12` where there is no array."""
    folder: str
    overrides: list[str]

    @property
    def run(self) -> Record:
        """What its run folder holds at this moment."""
        return Record(Path(self.folder))

    @property
    def steps(self) -> int:
        """Optimizer steps that it has done, as far as a checkpoint says."""
        return self.run.steps

    @property
    def log(self) -> Path:
        """The file with all that the job and SLURM printed."""
        return self.run.path / "slurm.log"


def below(sweep: Path) -> Path:
    """Where a sweep keeps what its jobs need: scripts, logs, the code."""
    return sweep / "slurm"


def read(sweep: Path) -> list[Job]:
    """The jobs of a sweep. RunError where none were sent from this folder."""
    file = below(sweep) / "jobs.json"
    if not file.is_file():
        raise RunError(f"{sweep}: no jobs were sent from there (no {file.relative_to(sweep)})")
    return [Job(**job) for job in json.loads(file.read_text(encoding="utf-8"))]


def add(sweep: Path, jobs: Sequence[Job]) -> None:
    """Note jobs that were sent; one that was sent anew takes the place of the old."""
    known = {job.number: job for job in read(sweep)} if (below(sweep) / "jobs.json").is_file() else {}
    known |= {job.number: job for job in jobs}
    text = json.dumps([asdict(known[number]) for number in sorted(known)], indent=2)
    write_text(below(sweep) / "jobs.json", text + "\n")


def alive(job: Job, states: Mapping[str, str]) -> bool:
    """Whether a job waits or runs, going by the states that SLURM tells."""
    return job.id in states and states[job.id] not in ENDED


def standing(job: Job, states: Mapping[str, str]) -> str:
    """One word: SLURM's while it waits or runs, then the run's own (finished, failed), then how SLURM ended it."""
    if alive(job, states):
        return states[job.id].lower()
    status = job.run.status
    return status if status in ("finished", "failed") else states.get(job.id, "ended").lower()


def failure(job: Job, states: Mapping[str, str]) -> str:
    """What became of a job that did not finish: its error, its log, and the last lines of it."""
    text = job.log.read_text(encoding="utf-8", errors="replace") if job.log.is_file() else ""
    said = "".join(f"\n    {line}" for line in text.splitlines()[-LAST_LINES:])
    what = f"job {job.number} ({job.id}) {standing(job, states)}: {' '.join(job.overrides)}"
    return f"{what}\n  {job.run.error or 'it left no word'}\n  {job.log}:{said or ' empty'}"
