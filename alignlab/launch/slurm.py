"""Words with SLURM: give a job back to the queue, ask for states, cancel. We, and nobody else, requeue."""

import os
import re
import signal
import subprocess
from collections.abc import Iterable, Mapping
from typing import Any

from alignlab.errors import RunError

ENDED = {"BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "TIMEOUT"}
"""States that a job does not leave by itself."""
PATIENCE = 60
"""Seconds that a command of SLURM may take."""


def requeue(launcher: Mapping[str, Any], number: int, environ: Mapping[str, str] = os.environ) -> bool:
    """Give this job back to the queue after signal `number`, from rank 0; whether that was done.

    Left alone are runs without `launcher.requeue`, Ctrl-C, and jobs that were cancelled.
    """
    job = own_job(environ)
    if not launcher.get("requeue") or job is None or number == signal.SIGINT:
        return False
    if environ.get("SLURM_PROCID", "0") != "0" or not _may_go_on(job):
        return False
    return _ask("scontrol", "requeue", job).returncode == 0


def own_job(environ: Mapping[str, str] = os.environ) -> str | None:
    """The job that this process belongs to, of an array the task: the bare number may mean the whole array."""
    if "SLURM_ARRAY_JOB_ID" in environ:
        return f"{environ['SLURM_ARRAY_JOB_ID']}_{environ['SLURM_ARRAY_TASK_ID']}"
    return environ.get("SLURM_JOB_ID")


def states(jobs: Iterable[str]) -> dict[str, str]:
    """SLURM's word for each of these jobs; jobs that it has forgotten are left out. RunError without an answer."""
    wanted = set(jobs)
    asked = _ask("squeue", "--me", "--noheader", "--array", "--states=all", "--format=%i|%T")
    if asked.returncode:
        raise RunError(f"squeue does not answer: {asked.stderr.strip()}")
    told = dict(line.split("|", 1) for line in asked.stdout.split())
    return {job: state for job, state in told.items() if job in wanted}


def cancel(jobs: Iterable[str]) -> None:
    """Cancel these jobs. RunError where SLURM refuses."""
    if (done := _ask("scancel", *jobs)).returncode:
        raise RunError(f"scancel failed: {done.stderr.strip()}")


def _may_go_on(job: str) -> bool:
    """Whether the job was only asked to make way, or ran out of time: one that is being cancelled is ending, too."""
    told = _ask("scontrol", "show", "job", job, "--oneliner").stdout
    fields = dict(re.findall(r"\b(JobState|Reason)=(\w+)", told))
    return fields.get("JobState") == "RUNNING" or fields.get("Reason") == "TimeLimit"


def _ask(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a command of SLURM; one that is missing or silent counts as refused."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(command, 1, "", str(error))
