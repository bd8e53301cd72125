"""A sweep as a whole: what is refused before its first job, and the table that its folder ends with."""

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
"""Launchers of this machine; their jobs are one process each."""


class SweepTable(Callback):
    """Keeps `sweep_summary.csv` up to date, in whichever process a job ends, and prints it at the end."""

    current: ClassVar[SweepSummary | None] = None
    """The sweep that this process owns: a failed job ends Hydra's own course before its last callback."""
    held: ClassVar[ExitStack] = ExitStack()
    """Keeps the folder of that sweep to this process."""

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """A sweep begins, unless it cannot. Hydra makes warnings of errors here, but lets an exit through."""
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
        """A job ended, of this process or of one that a launcher started."""
        summary = summary_of(config)
        if summary.folder in Path(config.hydra.runtime.output_dir).parents:
            summary.write()


def summary_of(config: DictConfig) -> SweepSummary:
    """The summary of the sweep that a config, with its node `hydra`, is the config of, or that of one of the jobs."""
    metric = target_of(config)
    folder = Path(config.hydra.runtime.cwd) / config.hydra.sweep.dir
    return SweepSummary(folder, metric, minimized(metric, config.optimized_direction))


def alone(overrides: Sequence[str]) -> list[str]:
    """The overrides of a job that make the same run without the sweep.

    >>> alone(["sweeps=dpo_beta_lr", "launcher=joblib", "objective=dpo"])
    ['objective=dpo']
    """
    ours = ("sweeps=", *(f"launcher={name}" for name in HERE))
    return [text for text in overrides if not text.startswith(ours)]


def end_sweep() -> None:
    """Print the table of the sweep of this process, if it has one, and let go of its folder."""
    if SweepTable.current is not None:
        SweepTable.current.show()
    SweepTable.current = None
    SweepTable.held.close()


def require_one_process(config: DictConfig) -> None:
    """ConfigError where the jobs of a sweep of this machine ask for several ranks, or several ranks begin a sweep.

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
    """ConfigError where a kept sweep sets what its jobs do not name: without it they could not be run again."""
    choice = OmegaConf.select(config, "hydra.runtime.choices.sweeps")
    if choice is None:
        return
    searched = [text for text in config.hydra.overrides.hydra if text.startswith("hydra.searchpath")]
    without, kept = (
        OmegaConf.to_container(compose(config.hydra.job.config_name, overrides=[*searched, *more]))
        for more in ([], [f"sweeps={choice}"])
    )
    if changed := [key for key, _ in differences(without, kept)]:
        raise ConfigError(
            f"sweeps={choice} sets {', '.join(changed)}: put that under hydra.sweeper.params, "
            "among the overrides of its jobs, so that each of them can be run alone"
        )
