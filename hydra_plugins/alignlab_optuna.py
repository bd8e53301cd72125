"""The sweeper behind `hydra/sweeper=optuna`, where Hydra looks for plugins; all work is in alignlab.launch.study."""

from collections.abc import Sequence
from typing import Any

from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class OptunaSweeper(Sweeper):
    """Runs the trials of a study with any launcher; conf/hydra/sweeper/optuna.yaml has the options."""

    def __init__(self, **options: Any) -> None:
        self.options = options

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what Hydra hands over."""
        self.hydra_context = hydra_context
        self.config = config
        self.launcher = Plugins.instance().instantiate_launcher(hydra_context, task_function, config)

    def sweep(self, arguments: Sequence[str]) -> None:
        """Run the study."""
        from alignlab.launch.study import run_study  # every Hydra program imports this file

        run_study(arguments, self.config, self.launch, **self.options)

    def launch(self, jobs: Sequence[Sequence[str]], first: int) -> None:
        """Run jobs, numbered from `first`; what does not compose is an error at once."""
        self.validate_batch_is_legal(jobs)
        self.launcher.launch(jobs, initial_job_idx=first)
