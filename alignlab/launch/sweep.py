"""A sweep as a whole: checks before its first job, and the table that its folder ends with."""

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar

from hydra import compose
from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from alignlab import ranks
from alignlab.errors import AlignlabError, ConfigError
from alignlab.runs.config_keys import differences
from alignlab.runs.folder import RunFolder
from alignlab.runs.ranking import minimized, target_of
from alignlab.runs.sweep_summary import SweepSummary

HERE = ("local", "joblib")
"""The launchers that run jobs on this machine, each as one process."""


class SweepTable(Callback):
    """A callback of Hydra that keeps `sweep_summary.csv` up to date, in any process, and prints it at the end."""

    current: ClassVar[SweepSummary | None] = None
    """The sweep that this process owns. A failed job ends Hydra's own course before its last callback."""
    held: ClassVar[ExitStack] = ExitStack()
    """The lock by which this process holds the folder of that sweep."""

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Begin a sweep, or exit with the error where it cannot run (Hydra would only warn of an error)."""
        try:
            require_one_process(config)
            require_plain(config)
            summary = summary_of(config)
            SweepTable.held.enter_context(RunFolder(summary.folder).locked())
            SweepTable.current = summary
        except AlignlabError as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(1)

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **_: Any) -> None:
        """Add a job that ended, in this process or in one that a launcher started, to the table."""
        summary = summary_of(config)
        if summary.folder in Path(config.hydra.runtime.output_dir).parents:
            summary.write()


def summary_of(config: DictConfig) -> SweepSummary:
    """Return the summary of the sweep that this config, with its node `hydra`, or the config of a job belongs to."""
    metric = target_of(config)
    folder = Path(config.hydra.runtime.cwd) / config.hydra.sweep.dir
    return SweepSummary(folder, metric, minimized(metric, config.optimized_direction))


def alone(overrides: Sequence[str]) -> list[str]:
    """Return the overrides of a job that make the same run without the sweep.

    >>> alone(["sweeps=dpo_beta_lr", "launcher=joblib", "objective=dpo"])
    ['objective=dpo']
    """
    ours = ("sweeps=", *(f"launcher={name}" for name in HERE))
    return [text for text in overrides if not text.startswith(ours)]


def end_sweep() -> None:
    """Print the table of the sweep that this process owns, if any, and unlock its folder."""
    if SweepTable.current is not None:
        SweepTable.current.show()
    SweepTable.current = None
    SweepTable.held.close()


def require_one_process(config: DictConfig) -> None:
    """Raise ConfigError where jobs of a sweep on this machine have several ranks, or several ranks start it.

    The ranks of a job are started with its command line: each of them would begin the sweep anew.
    """
    if (started := ranks.started_outside()) > 1:
        raise ConfigError(
            f"{started} processes were started together, and each would begin this sweep: start the sweep alone, with "
            "launcher=slurm, or start each of its jobs with torchrun, without -m"
        )
    if OmegaConf.select(config, "launcher.name") in HERE:
        for key in ("devices", "num_nodes"):
            if (value := config.trainer[key]) > 1:
                raise ConfigError(
                    f"trainer.{key}={value} with -m: launcher={config.launcher.name} runs jobs of one process: use "
                    "launcher=slurm, or start each job by itself: torchrun --nproc-per-node=... train.py, without -m"
                )


def require_plain(config: DictConfig) -> None:
    """Raise ConfigError where a kept sweep sets what its jobs do not name, so that they could not be run again."""
    choice = OmegaConf.select(config, "hydra.runtime.choices.sweeps")
    if choice is None:
        return
    searched = [text for text in config.hydra.overrides.hydra if text.startswith("hydra.searchpath")]
    without, within = (
        OmegaConf.to_container(compose(config.hydra.job.config_name, overrides=[*searched, *more]))
        for more in ([], [f"sweeps={choice}"])
    )
    if changed := [key for key, _ in differences(without, within)]:
        raise ConfigError(
            f"sweeps={choice} sets {', '.join(changed)}: put that under hydra.sweeper.params, "
            "among the overrides of its jobs, so that each of them can be run alone"
        )
