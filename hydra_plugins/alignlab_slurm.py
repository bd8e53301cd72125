"""The launcher behind `launcher=slurm`, where Hydra looks for plugins; all work is in alignlab.launch.submit."""

from collections.abc import Sequence
from typing import Any

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher


class SlurmLauncher(Launcher):
    """Sends the jobs of a sweep as an array."""

    def setup(self, **given: Any) -> None:
        """Keep what Hydra hands over: `hydra_context`, `task_function`, `config`."""
        from alignlab.launch.submit import Sweep  # here, since every Hydra program imports this file

        self.sweep = Sweep(**given)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Send the jobs, and wait for them."""
        return self.sweep.submit(job_overrides, initial_job_idx)
