"""Commands of SLURM: requeue this job, ask for states, cancel. Only this program requeues jobs, never submitit."""

import os
import re
import signal
import subprocess
from collections.abc import Iterable, Mapping
from typing import Any

from alignlab.errors import RunError

ENDED = {"BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "TIMEOUT"}
"""The states of SLURM that a job does not leave by itself."""
PATIENCE = 60
"""The seconds that a command of SLURM may take."""


def requeue(launcher: Mapping[str, Any], number: int, environ: Mapping[str, str] = os.environ) -> bool:
    """Give this job back to the queue after signal `number`, from rank 0; returns whether that was done.

    Not requeued are runs without `launcher.requeue`, runs stopped by Ctrl-C, and jobs that were cancelled.
    """
    job = own_job(environ)
    if not launcher.get("requeue") or job is None or number == signal.SIGINT:
        return False
    if environ.get("SLURM_PROCID", "0") != "0" or not _may_go_on(job):
        return False
    return _ask("scontrol", "requeue", job).returncode == 0


def own_job(environ: Mapping[str, str] = os.environ) -> str | None:
    """Return the id of this process's job; of an array the task's id, since the bare number may mean all tasks."""
    if "SLURM_ARRAY_JOB_ID" in environ:
        return f"{environ['SLURM_ARRAY_JOB_ID']}_{environ['SLURM_ARRAY_TASK_ID']}"
    return environ.get("SLURM_JOB_ID")


def states(jobs: Iterable[str]) -> dict[str, str]:
    """Return SLURM's state of each of these jobs, without jobs that SLURM has forgotten; RunError without an answer."""
    wanted = set(jobs)
    asked = _ask("squeue", "--me", "--noheader", "--array", "--states=all", "--format=%i|%T")
    if asked.returncode:
        raise RunError(f"squeue does not answer: {asked.stderr.strip()}")
    answer = dict(line.split("|", 1) for line in asked.stdout.split())
    return {job: state for job, state in answer.items() if job in wanted}


def cancel(jobs: Iterable[str]) -> None:
    """Cancel these jobs; raises RunError where SLURM refuses."""
    if (done := _ask("scancel", *jobs)).returncode:
        raise RunError(f"scancel failed: {done.stderr.strip()}")


def _may_go_on(job: str) -> bool:
    """Whether the job was only preempted or ran out of time, and was not cancelled."""
    answer = _ask("scontrol", "show", "job", job, "--oneliner").stdout
    fields = dict(re.findall(r"\b(JobState|Reason)=(\w+)", answer))
    return fields.get("JobState") == "RUNNING" or fields.get("Reason") == "TimeLimit"


def _ask(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a command of SLURM; a command that is missing or gives no answer in time counts as refused."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(command, 1, "", str(error))
