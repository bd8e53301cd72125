"""The command line around a Hydra main: clear errors in the place of long tracebacks, and exit codes."""

import math
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, NoReturn

from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from alignlab import ranks
from alignlab.config import resolvers
from alignlab.config.explain import explain
from alignlab.errors import AlignlabError, OwnCodeError
from alignlab.launch.run import follow, run
from alignlab.launch.slurm import requeue
from alignlab.launch.sweep import end_sweep
from alignlab.runs.folder import RunFolder
from alignlab.runs.record import Record
from alignlab.training.stop import Stopped, stopped_at_once
from alignlab.training.strategies.launch import end_with_parent


def launch(main: Callable[[], Any]) -> None:
    """Run a Hydra main; every foreseen error is one message on standard error and exit code 1.

    A bug has its traceback, unless HYDRA_FULL_ERROR=0 asks for none.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    os.environ.setdefault(
        "HF_DATASETS_DISABLE_PROGRESS_BARS", "1"
    )  # read where `datasets` is imported, if at all
    resolvers.register()
    try:
        with _errors_come_through():
            main()
    except AlignlabError as error:
        _fail(error)
    except (HydraException, OmegaConfBaseException) as error:
        _end(f"error: {explain(error)}", 1)
    except KeyboardInterrupt:
        _end("stopped by Ctrl-C; resume=auto goes on from the last checkpoint", 130)
    except Exception as error:
        if isinstance(error, OSError) and _before_run(error):
            way = "Choose another with output_dir=... or hydra.run.dir=..."
            _end(f"error: cannot make the run folder: {error}. {way}", 1)
        if os.environ.get("HYDRA_FULL_ERROR") != "0":
            raise
        _end(
            f"error: {type(error).__name__}: {error} (without HYDRA_FULL_ERROR=0 it is shown where this arose)",
            1,
        )
    finally:
        end_sweep()


def job(cfg: DictConfig) -> float:
    """Run one job. In a sweep an error goes back to Hydra, which starts the next job; a stop ends everything.

    A signal stops it at once, but for the training itself, which ends its step and writes a checkpoint.
    The exit code is then 128 and the number of the signal, as a shell has it.
    """
    folder = RunFolder(Path(HydraConfig.get().runtime.output_dir))
    try:
        with joined(cfg), stopped_at_once():
            if not ranks.main():
                follow(cfg)
                return math.nan
            with folder.locked():
                return run(cfg)
    except Stopped as stop:
        left = Record(folder.path)
        where, goes_on = f"at step {left.steps} of {left.path}", "resume=auto goes on"
        if left.report_due:
            where = f"while the report of {left.path} was drawn, whose training is finished"
            goes_on = f"resume=auto makes it, or alignlab report runs={left.path}"
        then = "back in the queue" if requeue(cfg.launcher, stop.number) else goes_on
        _end(f"{stop}, {where}; {then}", 128 + stop.number)
    except AlignlabError as error:
        if HydraConfig.get().mode == RunMode.MULTIRUN:
            raise
        _fail(error)


@contextmanager
def joined(cfg: DictConfig) -> Iterator[None]:
    """Join the ranks that torchrun, srun or rank 0 of this run started beside this process, while the context lasts."""
    if ranks.started_outside() == 1:
        yield
        return
    from alignlab.training.spec import on_gpu

    end_with_parent()
    ranks.join(gpu=on_gpu(cfg.trainer.accelerator))
    try:
        yield
    finally:
        ranks.leave()


@contextmanager
def _errors_come_through() -> Iterator[None]:
    """Keep Hydra from printing errors and ending the process itself, while the context lasts."""
    before = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"
    _Asked.full = before == "1"
    try:
        yield
    finally:
        del os.environ["HYDRA_FULL_ERROR"]
        if before is not None:
            os.environ["HYDRA_FULL_ERROR"] = before


class _Asked:
    """What the user asked of errors, which Hydra is not told."""

    full: ClassVar[bool] = False
    """Whether exceptions of a user's own code are shown with their traceback (HYDRA_FULL_ERROR=1)."""


def _fail(error: AlignlabError) -> NoReturn:
    """End with the message of an error; before it stands the whole traceback of code of one's own, if asked for."""
    if isinstance(error, OwnCodeError) and _Asked.full:
        traceback.print_exception(error.__cause__)
    _end(f"error: {error}", 1)


def _end(message: str, code: int) -> NoReturn:
    sys.stdout.flush()
    print(message, file=sys.stderr)
    sys.exit(code)


def _before_run(error: OSError) -> bool:
    """Whether an error arose before the run itself began, when only Hydra was at work to make the folder."""
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_globals.get("__name__") == "alignlab.launch.run":
            return False
        trace = trace.tb_next
    return True
