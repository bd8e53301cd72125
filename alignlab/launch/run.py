"""One run: check the config, train, and leave the run folder in order, whatever happens."""

import errno
import logging
import math
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from alignlab import ranks
from alignlab.assembly.nodes import named_in
from alignlab.config.stage_configs import Planned, composed, planned, resolved
from alignlab.errors import AlignlabError, ConfigError, OwnCodeError, RunError, nearest
from alignlab.launch.logs import log_to, quiet_libraries
from alignlab.launch.sweep import alone, require_one_process
from alignlab.own_code import described, own_frame
from alignlab.places import train_command
from alignlab.runs.config_keys import ABSENT, differences
from alignlab.runs.folder import RunFolder
from alignlab.runs.inputs import Inputs, InputsChanged
from alignlab.runs.overrides import quoted
from alignlab.runs.ranking import target_of
from alignlab.runs.record import Record
from alignlab.runs.resume import require_same
from alignlab.settings import Config
from alignlab.training.stop import Stopped
from alignlab.training.strategies.launch import started

if TYPE_CHECKING:
    from alignlab.launch.chain import Run

log = logging.getLogger(__name__)

PLAIN = re.compile(r"[\w./:-]+")
"""A text that Hydra takes for itself without quotes."""
COMMAND_LINE = "command-line"
"""Who names a folder of `--config-dir`, in Hydra's words; that of `hydra.searchpath` is "hydra.searchpath in ..." it.
"""


FULL = {errno.ENOSPC: "", errno.EDQUOT: " to its quota", errno.EFBIG: " by a limit on the size of files"}
"""The errors by which a system says that a disk is full."""
OF_RUST = re.compile(r"\(os error (\d+)\)")
"""How libraries that are written in Rust (safetensors, tokenizers) tell the number of an error of the system."""


def run(cfg: DictConfig) -> float:
    """Train as configured, and return the optimized metric for sweepers; raises Stopped where a signal ended it."""
    hydra = HydraConfig.get()
    folder = RunFolder(Path(hydra.runtime.output_dir))
    log_to(folder.path / "train.log")
    stay_where_given(hydra)
    require_one_folder(cfg, folder)
    if folder.begun:
        for change in require_same(resolved(cfg), Record(folder.path)):
            log.info("going on with another setting: %s", change)
    if (done := finished_before(cfg, folder)) is not None:
        ranks.broadcast(None)
        return done
    failed, config, record = True, None, _record(folder) if folder.begun else {}
    try:
        earlier = {k: v for k, v in folder.read_json("summary.json").items() if k != "error"}
        folder.write_json("summary.json", {"steps": 0, **earlier, "status": "interrupted"})
        folder.write_text("overrides.txt", "".join(f"{o}\n" for o in alone(hydra.overrides.task)))
        config = resolved(cfg)
        folder.write_text("config.yaml", OmegaConf.to_yaml(OmegaConf.create(dict(config))))
        if hydra.mode == RunMode.MULTIRUN:
            require_one_process(cfg)
        plan = _plan(config, hydra)
        stopped = _trained(config, folder, hydra, plan)
        failed = stopped is not None
    except Exception as error:
        full = FULL.get(error_number(error))
        error = error if full is not None else _of_own_code(error, config)
        _record_failure(folder, error, alone=hydra.mode == RunMode.RUN)
        if isinstance(error, InputsChanged):  # it was not gone on with, and is what it was
            for name, text in record.items():
                folder.write_text(name, text)
        if full is not None:
            raise RunError(
                f"the disk is full{full}: {error}. What was written whole is kept in {folder.path}"
            ) from error
        raise error
    finally:
        if "wandb" in sys.modules:
            from alignlab.training.loggers.wandb_log import finish_wandb

            finish_wandb(failed=failed)
    if stopped is not None:
        raise Stopped(stopped)
    return optimized(target_of(config), Record(folder.path).final)


def require_one_folder(cfg: DictConfig, folder: RunFolder) -> None:
    """Raise ConfigError where another folder than that of the run is named by resume.path."""
    asked = cfg.resume.path
    if asked not in (None, "auto") and Path(asked).resolve() != folder.path.resolve():
        raise ConfigError(
            f"resume.path={asked} and the folder of the run, {folder.path}, are two: leave hydra.run.dir out"
        )


def _trained(config: Config, folder: RunFolder, hydra: Any, plan: Sequence[Planned]) -> int | None:
    """Train all stages; returns the signal that stopped them, or None. Torch is imported here, after the check."""
    from alignlab.launch.chain import train

    quiet_libraries()
    with together(config, folder):
        return train(_as_run(config, folder, hydra), plan)


@contextmanager
def together(config: Config, folder: RunFolder) -> Iterator[None]:
    """Run the context with all ranks that the config asks for; they are started here unless they exist already."""
    from alignlab.training.spec import on_gpu

    trainer = config["trainer"]
    wanted, there = trainer["devices"] * trainer["num_nodes"], ranks.world()
    if there > 1 and there != wanted:
        raise ConfigError(
            f"{there} processes were started together, and trainer.devices={config['trainer']['devices']} times "
            f"trainer.num_nodes={config['trainer']['num_nodes']} is {wanted}: make them equal"
        )
    gpu = on_gpu(config["trainer"]["accelerator"])
    again = [*train_command(), *sys.argv[1:], f"hydra.run.dir={quoted(str(folder.path))}"]
    with started(again, wanted, folder.path, gpu=gpu) if wanted > there else nullcontext():
        ranks.broadcast(folder.path)
        yield


def follow(cfg: DictConfig) -> None:
    """Train as a rank that is not the first, which writes nothing."""
    hydra = HydraConfig.get()
    log_to(None)
    stay_where_given(hydra)
    path = ranks.broadcast(None)
    with suppress(OSError):  # the folder that Hydra made for this process, where that is another
        Path(hydra.runtime.output_dir).rmdir()
    if path is None:
        return
    config = resolved(cfg)
    plan = _plan(config, hydra)

    from alignlab.launch.chain import Run, train

    quiet_libraries()
    stopped = train(
        Run(config, RunFolder(path, writes=False), {"overrides": [], "versions": {}}, "", ""), plan
    )
    if stopped is not None:
        raise Stopped(stopped)


def stay_where_given(hydra: Any) -> None:
    """Go back to the folder where the command was given, which `hydra.job.chdir` left: paths are meant from there."""
    if hydra.job.chdir and Path.cwd() != Path(hydra.runtime.cwd):
        os.chdir(hydra.runtime.cwd)
        log.warning(
            "hydra.job.chdir=true: paths are read from %s all the same, where the command was given; the run is in %s",
            hydra.runtime.cwd,
            hydra.runtime.output_dir,
        )


def finished_before(cfg: DictConfig, folder: RunFolder) -> float | None:
    """Return the metric of a run that this folder already holds whole; None where it holds none."""
    if not folder.begun:
        return None
    before = Record(folder.path)
    if not before.finished or _wants_more(cfg.trainer, before):
        return None
    log.info("%s is finished already", folder.path)
    if _raised_in_vain(cfg.trainer, before):
        log.warning(
            "the higher trainer.max_steps or max_epochs is not used: a finished run of several stages is not trained "
            "further; start a new run"
        )
    if before.report_due and cfg.report:
        from alignlab.launch.chain import report

        log.info("its report was not made yet, and is now")
        report(folder, drawn=True)
    return optimized(target_of(cfg), before.final)


def _wants_more(trainer: DictConfig, run: Record) -> bool:
    """Whether a finished run is now asked for more steps than it did; never for a run of several stages."""
    if (run.path / "stages").is_dir():
        return False
    if trainer.max_steps is not None:
        return bool(trainer.max_steps > run.steps)
    before = run.config["trainer"]
    return before["max_steps"] is not None or bool(trainer.max_epochs > before["max_epochs"])


def _raised_in_vain(trainer: DictConfig, run: Record) -> bool:
    lengths = ("max_steps", "max_epochs")
    return (run.path / "stages").is_dir() and any(
        trainer[key] != run.config["trainer"][key] for key in lengths
    )


def optimized(metric: str, final: Mapping[str, float]) -> float:
    """Return the value that a sweeper optimizes; NaN, with a warning, where the run has no such metric."""
    if metric not in final:
        log.warning("optimized_metric=%s is no final metric: %s", metric, nearest(metric, final))
    return float(final.get(metric, math.nan))


def _plan(config: Config, hydra: Any) -> list[Planned]:
    """Return the stages of the run, from its overrides and the config folders that it was started with."""
    return planned(config, alone(hydra.overrides.task), _searched(hydra), hydra.job.config_name)


def _searched(hydra: Any) -> list[str]:
    """Return the override that names further config folders, in a list; an empty list where there are none.

    A folder of `--config-dir` is among them, since the command that makes the run again has overrides alone.
    """
    typed = [text for text in hydra.overrides.hydra if text.startswith("hydra.searchpath")]
    sources = [
        (source.provider, f"{source.schema}://{source.path}") for source in hydra.runtime.config_sources
    ]
    if not any(provider == COMMAND_LINE for provider, _ in sources):
        return typed
    places = [place for provider, place in sources if COMMAND_LINE in provider]
    folders = [place if PLAIN.fullmatch(place) else quoted(place) for place in places]
    return [f"hydra.searchpath=[{','.join(folders)}]"]


def _as_run(config: Config, folder: RunFolder, hydra: Any) -> "Run":
    from alignlab.launch.chain import Run
    from alignlab.runs.manifest import environment, other_threads

    above = folder.path.resolve().parent  # of a sweep, also where each job is a process on a cluster
    sweep = above.name if above == Path(hydra.sweep.dir).resolve() else ""
    line = {"overrides": alone(hydra.overrides.task), "searchpath": _searched(hydra)}
    defaults = composed(hydra.job.config_name, _searched(hydra))
    changed = {key: values for key, values in differences(defaults, config) if values[1] != ABSENT}
    facts = environment()
    if folder.begun and (other := other_threads(Record(folder.path).manifest, facts)):
        log.warning("%s", other)
    manifest = {**facts, "seed": config["seed"], **line, "changed": changed, "config": config}
    folder.write_json("manifest.json", manifest)
    folder.update_summary(objective=config["objective"]["name"], data=config["data"]["name"])
    log.info("run folder: %s", folder.path)
    inputs = Inputs(folder, config["resume"]["allow"])
    return Run(config, folder, manifest, name="/".join(folder.path.parts[-2:]), group=sweep, inputs=inputs)


def _record(folder: RunFolder) -> dict[str, str]:
    """Return the files that say what a run is and how far it came, by name."""
    names = ("config.yaml", "overrides.txt", "manifest.json", "summary.json")
    return {name: text for name in names if (text := folder.read_text(name))}


def error_number(error: Exception) -> int:
    """Return the number of an error of the system; 0 for another one."""
    if isinstance(error, OSError):
        return error.errno or 0
    told = OF_RUST.search(str(error))
    return int(told[1]) if told else 0


def _of_own_code(error: Exception, config: Config | None) -> Exception:
    """Return the error itself, or an OwnCodeError in place of an exception that arose in code of the user's own.

    That is code which libraries call, such as a callback or an optimizer; the config tells where it is named.
    """
    if (
        config is None
        or isinstance(error, (AlignlabError, MemoryError))
        or (frame := own_frame(error)) is None
    ):
        return error
    what = named_in(config, frame.filename) or "code of your own"
    told = OwnCodeError(described(what, error, frame))
    told.__cause__ = error
    return told


def _record_failure(folder: RunFolder, error: Exception, *, alone: bool) -> None:
    """Write the error of a failed run to its folder, as far as the disk allows; a sweep prints it at once."""
    trace = None if isinstance(error, AlignlabError) else error
    if isinstance(error, OwnCodeError) and alone:
        trace = error
    log.error("%s", error, exc_info=trace, extra={"file_only": alone})
    try:
        folder.update_summary(status="failed", error=f"{type(error).__name__}: {error}")
    except OSError as failure:
        log.error("the failure could not be recorded: %s", failure)
