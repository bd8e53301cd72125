"""The settings of conf/launcher/slurm.yaml in the form of submitit and sbatch: the script, and sending it."""

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from alignlab.errors import ConfigError

HOLD = (
    "import os, signal, sys; signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGUSR1)); "
    "os.execv(sys.argv[1], sys.argv[1:])"
)
"""A line of Python that blocks signals while a command starts; training/stop.py unblocks them."""


def options(launcher: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the parameters of submitit's SlurmExecutor; raises ConfigError where a setting cannot work."""
    if find_spec("submitit") is None:
        raise ConfigError("launcher=slurm needs the submitit package: pip install -e '.[slurm]'")
    kind, _, seconds = str(launcher["signal"]).partition("@")
    if kind not in ("USR1", "TERM") or not seconds.isdigit():
        raise ConfigError(f"launcher.signal={launcher['signal']}: expected USR1@seconds or TERM@seconds")
    if isinstance(launcher["time"], int) and int(seconds) >= 60 * launcher["time"]:
        raise ConfigError(
            f"launcher.signal={launcher['signal']} comes before a job of launcher.time={launcher['time']} "
            "minutes begins: it would be requeued for ever"
        )
    more = {
        "signal": launcher["signal"],
        "requeue" if launcher["requeue"] else "no-requeue": True,
        "mem": launcher["mem"],
        **launcher["sbatch"],
    }
    parameters = {
        "job_name": name,
        **{key: launcher[key] for key in ("partition", "account", "qos", "time", "nodes", "cpus_per_task")},
        "ntasks_per_node": launcher["tasks_per_node"],
        "gpus_per_node": launcher["gpus_per_node"] or None,
        "array_parallelism": launcher["parallel"],
        "setup": list(launcher["setup"]) or None,
        "stderr_to_stdout": True,
        "additional_parameters": {key: value for key, value in more.items() if value is not None},
    }
    return {key: value for key, value in parameters.items() if value is not None}


def script(options: Mapping[str, Any], folder: Path, count: int) -> str:
    """Return the script that sbatch would get for this many jobs, without sending it; SLURM is not needed."""
    from submitit.slurm.slurm import _make_sbatch_string

    command = f"{shlex.quote(sys.executable)} -u -m submitit.core._submit {shlex.quote(str(folder))}"
    return _make_sbatch_string(
        command=command, folder=folder, map_count=count if count > 1 else None, **options
    )


def send(options: Mapping[str, Any], folder: Path, commands: Sequence[Sequence[str]]) -> list[str]:
    """Send one job for each command, several as an array; returns SLURM's ids. ConfigError where SLURM refuses.

    A job turns into its command, so that nothing of submitit is left to requeue it.
    """
    from submitit import SlurmExecutor
    from submitit.core.utils import FailedJobError

    try:
        executor = SlurmExecutor(folder, max_num_timeout=0)
    except RuntimeError as error:
        raise ConfigError(
            "launcher=slurm: there is no srun here; launcher.dry_run=true needs none"
        ) from error
    executor.update_parameters(**options)
    try:
        held = [[sys.executable, "-c", HOLD, *command] for command in commands]
        return [job.job_id for job in executor.map_array(os.execv, [sys.executable] * len(held), held)]
    except FailedJobError as error:
        raise ConfigError(f"SLURM refused the job (see launcher.*): {_last_line(error)}") from error


def _last_line(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return next((line for line in lines if "error:" in line), lines[-1] if lines else "no reason given")
