"""One run: check the config, train, and leave the run folder in order whatever happens."""

import errno
import logging
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from alignlab.config.build import build_stage
from alignlab.config.check import check
from alignlab.config.explain import explain
from alignlab.config.logs import log_to
from alignlab.console import before_and_after, print_table
from alignlab.errors import AlignlabError, ConfigError, RunError, nearest
from alignlab.policies.adapters import merge
from alignlab.targets import locate
from alignlab.training.export import export, model_card
from alignlab.training.loggers.wandb_log import finish_wandb
from alignlab.training.manifest import environment
from alignlab.training.plots import plot_run
from alignlab.training.rails import NonFiniteError
from alignlab.training.run_folder import RunFolder
from alignlab.training.spec import Result

log = logging.getLogger(__name__)


class Interrupted(AlignlabError):
    """The run was stopped by a signal after a checkpoint; `resume=auto` goes on."""

    def __init__(self, folder: RunFolder, number: int) -> None:
        super().__init__(
            f"stopped by signal {number} after a checkpoint in {folder.path}; resume=auto goes on"
        )
        self.exit_code = 128 + number


def run(cfg: DictConfig) -> float:
    """Train as configured; returns the optimized metric (for sweepers)."""
    hydra = HydraConfig.get()
    folder = RunFolder(Path(hydra.runtime.output_dir))
    log_to(folder.path / "train.log")
    if (done := finished_before(cfg, folder)) is not None:
        return done
    failed = True
    try:
        earlier = {k: v for k, v in folder.read_json("summary.json").items() if k != "error"}
        folder.write_json("summary.json", {"steps": 0, **earlier, "status": "interrupted"})
        folder.write_text("overrides.txt", "".join(f"{o}\n" for o in hydra.overrides.task))
        config = resolved(cfg)
        folder.write_text("config.yaml", OmegaConf.to_yaml(OmegaConf.create(dict(config))))
        check(config)
        result = _train(config, folder, hydra)
        failed = result.status != "finished"
    except Exception as error:
        _record_failure(folder, error, alone=hydra.mode == RunMode.RUN)
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise RunError(
                f"the disk is full: {error}. What was written whole is kept in {folder.path}"
            ) from error
        raise
    finally:
        finish_wandb(failed=failed)
    if result.stopped_by is not None:
        raise Interrupted(folder, result.stopped_by)
    return optimized(config["optimized_metric"], result.final)


def resolved(cfg: DictConfig) -> dict[str, Any]:
    """The config as plain dicts; ConfigError on values left open or interpolations that lead nowhere."""
    try:
        return OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)  # type: ignore[return-value]
    except OmegaConfBaseException as error:
        raise ConfigError(explain(error)) from error


def finished_before(cfg: DictConfig, folder: RunFolder) -> float | None:
    """The metric of a run that this folder already holds whole; RunError for one not asked to go on."""
    if not folder.last_checkpoint.is_file():
        return None
    if cfg.resume is None:
        raise RunError(
            f"{folder.path} already holds a run: add resume=auto to go on with it, or choose another folder"
        )
    summary = folder.read_json("summary.json")
    if summary.get("status") != "finished" or _wants_more(cfg.trainer, folder, summary["steps"]):
        return None
    log.info("%s is finished already", folder.path)
    return optimized(cfg.optimized_metric, summary["final"])


def _wants_more(trainer: DictConfig, folder: RunFolder, done: int) -> bool:
    """Whether a finished run is now asked for more steps than it did."""
    if trainer.max_steps is not None:
        return bool(trainer.max_steps > done)
    before = OmegaConf.load(folder.path / "config.yaml").trainer
    return before.max_steps is not None or bool(trainer.max_epochs > before.max_epochs)


def optimized(metric: str, final: Mapping[str, float]) -> float:
    """The value that a sweeper minimizes; NaN, with a warning, where the run has no such metric."""
    if metric not in final:
        log.warning("optimized_metric=%s is no final metric: %s", metric, nearest(metric, final))
    return float(final.get(metric, math.nan))


def _train(config: Mapping[str, Any], folder: RunFolder, hydra: Any) -> Result:
    began = time.perf_counter()
    names = {"objective": config["objective"]["name"], "data": config["data"]["name"]}
    folder.update_summary(**names)
    log.info("run folder: %s", folder.path)
    sweep = Path(hydra.sweep.dir).name if hydra.mode == RunMode.MULTIRUN else ""
    name = "/".join(folder.path.parts[-2:])
    stage = build_stage(config, folder, {"name": name, "group": sweep})
    manifest = {**environment(), "seed": config["seed"], "overrides": list(hydra.overrides.task)}
    folder.write_json("manifest.json", manifest)
    recipe = locate(config["recipe"]["_target_"], "recipe._target_")
    options = {key: value for key, value in config["recipe"].items() if key != "_target_"}
    result: Result = recipe(lambda: stage, folder, **options)
    folder.write_json("manifest.json", {**manifest, **result.facts})
    if result.status == "finished":
        _keep(config, folder, result, manifest["command"])
    seconds = {**result.timings, "total": round(time.perf_counter() - began, 3)}
    folder.update_summary(
        status=result.status,
        steps=result.steps,
        initial=result.initial,
        final=result.final,
        best=result.best,
        timings=seconds,
        tokens_per_second=round(result.tokens_per_second, 1),
    )
    if result.status == "finished":
        what = f"{config['objective']['name']} on {config['data']['name']}"
        print_table(
            f"{what}, {result.steps} steps, {seconds['total']:.0f} s",
            ["", "before", "after"],
            before_and_after(result.initial, result.final),
        )
        print(f"run folder: {folder.path}")
    return result


def _keep(config: Mapping[str, Any], folder: RunFolder, result: Result, command: str) -> None:
    """Model, samples and pictures of a finished run."""
    base = config["model"].get("path") or config["model"]["name"]
    card = model_card(
        objective=config["objective"]["name"],
        data=config["data"]["name"],
        base=base,
        command=f"python {command}",
        metrics=result.final,
    )
    export(merge(result.model), result.tokenizer, folder.model, card)
    folder.write_lines("samples.jsonl", result.samples)
    plot_run(folder.metrics, folder.plots)


def _record_failure(folder: RunFolder, error: Exception, *, alone: bool) -> None:
    """Put on record why a run failed, as far as the disk lets us. A sweep shows it at once, too."""
    trace = None if isinstance(error, AlignlabError) else error
    log.error("%s", error, exc_info=trace, extra={"file_only": alone})
    try:
        if isinstance(error, NonFiniteError):
            folder.write_json("nonfinite_batch.json", error.details)
        folder.update_summary(status="failed", error=f"{type(error).__name__}: {error}")
    except OSError as failure:
        log.error("the failure could not be recorded: %s", failure)
