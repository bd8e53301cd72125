"""Runs on a SLURM cluster (docs/slurm.md).

python scripts/submit.py objective=dpo,ipo seed=1,2 launcher.partition=gpu    send, and return at once
python scripts/submit.py objective=dpo,ipo dry_run=true                       print the sbatch script, send nothing
python scripts/submit.py state=multirun/2026-11-21_11-42-54                   how the jobs of a sweep stand
python scripts/submit.py failures=multirun/2026-11-21_11-42-54                those that failed, and what they said last
python scripts/submit.py cancel=multirun/2026-11-21_11-42-54                  end those that wait or run
"""

import runpy
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from alignlab.console import print_table
from alignlab.errors import AlignlabError
from alignlab.launch import jobs, slurm

TRAIN = Path(__file__).resolve().parents[1] / "train.py"


def send(overrides: Sequence[str]) -> None:
    """What `train.py launcher=slurm` does, without waiting."""
    line = [f"launcher.{text}" if text.startswith("dry_run=") else text for text in overrides]
    chosen = [] if any(text.startswith("launcher=") for text in line) else ["launcher=slurm"]
    waits = [] if any(text.startswith("launcher.wait=") for text in line) else ["launcher.wait=false"]
    sys.argv = [str(TRAIN), "-m", *chosen, *waits, *line]
    runpy.run_path(str(TRAIN), run_name="__main__")


def state(sweep: Path) -> None:
    sent = jobs.read(sweep)
    states = slurm.states(job.id for job in sent)
    rows = [
        [str(job.number), job.id, jobs.standing(job, states), str(job.steps), " ".join(job.overrides)]
        for job in sent
    ]
    print_table(str(sweep), ["job", "SLURM", "state", "steps", "overrides"], rows)


def failures(sweep: Path) -> None:
    sent = jobs.read(sweep)
    states = slurm.states(job.id for job in sent)
    ended = [job for job in sent if not jobs.alive(job, states)]
    failed = [job for job in ended if jobs.standing(job, states) != "finished"]
    for job in failed:
        print(jobs.failure(job, states), end="\n\n")
    print(f"{len(failed)} of {len(sent)} jobs failed")


def cancel(sweep: Path) -> None:
    sent = jobs.read(sweep)
    states = slurm.states(job.id for job in sent)
    ids = [job.id for job in sent if jobs.alive(job, states)]
    if ids:
        slurm.cancel(ids)
    print(f"cancelled: {', '.join(ids) or 'none waits or runs'}")


ABOUT: dict[str, Callable[[Path], None]] = {"state": state, "failures": failures, "cancel": cancel}


if __name__ == "__main__":
    asked, _, folder = (sys.argv[1] if len(sys.argv) == 2 else "").partition("=")
    if sys.argv[1:] in ([], ["-h"], ["--help"]):
        print(__doc__)
    elif asked in ABOUT:
        try:
            ABOUT[asked](Path(folder))
        except AlignlabError as problem:
            sys.exit(f"error: {problem}")
    else:
        send(sys.argv[1:])
