"""Runs on a SLURM cluster (docs/slurm.md).

alignlab submit objective=dpo,ipo seed=1,2 launcher.partition=gpu    send, and return at once
alignlab submit objective=dpo,ipo dry_run=true                       print the sbatch script, send nothing
alignlab submit state=multirun/2026-11-21_11-42-54                   how the jobs of a sweep stand
alignlab submit failures=multirun/2026-11-21_11-42-54                those that failed, and what they said last
alignlab submit cancel=multirun/2026-11-21_11-42-54                  end those that wait or run

Takes the overrides of train, and commas between values as a sweep does.
"""

from collections.abc import Sequence
from pathlib import Path

from alignlab.console import print_table
from alignlab.errors import ConfigError


def run(words: Sequence[str]) -> None:
    """Send jobs to SLURM, or print the state of jobs that were sent."""
    if not words:
        raise ConfigError(
            "say what to run (objective=dpo ...), or state=, failures= or cancel= with a sweep folder"
        )
    word, _, folder = words[0].partition("=")
    about = {"state": _state, "failures": _failures, "cancel": _cancel}
    if len(words) == 1 and word in about:
        about[word](Path(folder))
    else:
        _send(words)


def _send(overrides: Sequence[str]) -> None:
    """Send the jobs as `train launcher=slurm` does, without waiting for them."""
    from alignlab.verbs import train

    line = [f"launcher.{text}" if text.startswith("dry_run=") else text for text in overrides]
    chosen = [] if any(text.startswith("launcher=") for text in line) else ["launcher=slurm"]
    waits = [] if any(text.startswith("launcher.wait=") for text in line) else ["launcher.wait=false"]
    train.run(["-m", *chosen, *waits, *line])


def _state(sweep: Path) -> None:
    from alignlab.launch import jobs, slurm

    sent = jobs.read(sweep)
    states = slurm.states(job.id for job in sent)
    rows = [
        [str(job.number), job.id, jobs.standing(job, states), str(job.steps), " ".join(job.overrides)]
        for job in sent
    ]
    print_table(str(sweep), ["job", "SLURM", "state", "steps", "overrides"], rows)


def _failures(sweep: Path) -> None:
    from alignlab.launch import jobs, slurm

    sent = jobs.read(sweep)
    states = slurm.states(job.id for job in sent)
    ended = [job for job in sent if not jobs.alive(job, states)]
    failed = [job for job in ended if jobs.standing(job, states) != "finished"]
    for job in failed:
        print(jobs.failure(job, states), end="\n\n")
    print(f"{len(failed)} of {len(sent)} jobs failed")


def _cancel(sweep: Path) -> None:
    from alignlab.launch import jobs, slurm

    sent = jobs.read(sweep)
    states = slurm.states(job.id for job in sent)
    ids = [job.id for job in sent if jobs.alive(job, states)]
    if ids:
        slurm.cancel(ids)
    print(f"cancelled: {', '.join(ids) or 'none waits or runs'}")
