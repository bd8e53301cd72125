"""The plain run: one stage."""

from collections.abc import Callable

from alignlab.training.run_folder import RunFolder
from alignlab.training.spec import Result, Stage
from alignlab.training.stage import run_stage


def single(make_stage: Callable[[], Stage], folder: RunFolder) -> Result:
    """Run the one stage in the run folder itself."""
    return run_stage(make_stage(), folder)
