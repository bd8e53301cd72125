"""The stages of a run, trained one after the other; stages that are finished already are passed over."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from alignlab import ranks
from alignlab.assembly.build import build_stage, call
from alignlab.config.mixture import with_parts
from alignlab.config.stage_configs import Planned, judged_by, placed
from alignlab.console import before_and_after, print_table
from alignlab.launch.inputs import note_models, noting_rows
from alignlab.recipes.rails import check_own_rows, check_unchanged, model_hash
from alignlab.runs.export import card, export
from alignlab.runs.folder import RunFolder
from alignlab.runs.inputs import Inputs
from alignlab.runs.joined_stages import joined_metrics, publish, summarized
from alignlab.runs.record import DUE, Record
from alignlab.settings import Config
from alignlab.training.loggers.tensorboard_log import log_samples
from alignlab.training.loggers.wandb_log import finish_wandb, log_results
from alignlab.training.spec import Result
from alignlab.training.stage import run_stage
from alignlab.uncertainty import PLUS_MINUS

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """The facts about a run that are the same for all its stages."""

    config: Config
    folder: RunFolder
    manifest: Mapping[str, Any]
    name: str
    group: str
    inputs: Inputs | None = None
    """What it was begun with; None in a process that writes nothing."""


def train(run: Run, plan: Sequence[Planned]) -> int | None:
    """Run every stage that is not finished, and sum them up; returns the signal that stopped the run, or None."""
    began = time.perf_counter()
    if run.inputs:
        note_models(run.inputs, plan, Path(run.config["cache_dir"]))
    if not plan[0].spec.name:
        result = _trained(run, plan[0].config, run.folder, {"name": run.name, "group": run.group})
        seconds = {**result.timings, "total": round(time.perf_counter() - began, 3)}
        run.folder.update_summary(timings=seconds, status=result.status, **_due(run, result.status))
        if result.stopped_by is None and run.folder.writes:
            report(run.folder, drawn=run.config["report"])
            _show(run, result.steps, seconds["total"], {"before": result.initial, "after": result.final})
        return result.stopped_by
    folders: list[RunFolder] = []
    for stage in plan:
        folders.append(stage.folder(run.folder))
        stopped = _stage(run, stage, folders)
        ranks.barrier()
        whole = summarized(folders)
        run.folder.write_text("metrics.csv", joined_metrics(folders))
        run.folder.update_summary(**whole)
        if stopped is not None:
            return stopped
    if not run.folder.writes:
        return None
    publish(folders[-1], run.folder)
    run.folder.update_summary(status="finished", **_due(run, "finished"))
    report(run.folder, drawn=run.config["report"])
    moments = {"before": whole["initial"], **{stage["name"]: stage["final"] for stage in whole["stages"]}}
    _show(run, whole["steps"], time.perf_counter() - began, moments)
    return None


def _stage(run: Run, stage: Planned, folders: Sequence[RunFolder]) -> int | None:
    """Run one stage of several, in the last of these folders; returns the signal that stopped it, or None."""
    *before, folder = folders
    if Record(folder.path).finished:
        log.info("stage %s is finished already", stage.title)
        if Record(folder.path).report_due and folder.writes:
            report(folder, drawn=run.config["report"])
        return None
    log.info("stage %s", stage.title)
    if before:
        log.info(
            "the model of stage %s is as it was left, %s", before[-1].path.name, check_unchanged(before[-1])
        )
    began, config = time.perf_counter(), placed(stage, before[-1].model if before else None)
    if stage.spec.judged:
        config = judged_by(config, [other.model for other in before])
    folder.write_text("config.yaml", OmegaConf.to_yaml(OmegaConf.create(config)))
    folder.write_text("overrides.txt", "".join(f"{text}\n" for text in stage.spec.overrides))
    names = {"name": f"{run.name}/{stage.title}", "group": run.group or run.name}
    on_rows = partial(check_own_rows, folder=folder, before=before) if stage.spec.own_rows else None
    try:
        result = _trained(run, config, folder, names, on_rows=on_rows, collect=stage.spec.collect)
        if result.reference_margin is not None:
            log.info("mean margin of the reference on these rows: %+.2f nats", result.reference_margin)
        if result.stopped_by is None and folder.writes:
            folder.update_summary(model_sha256=model_hash(folder.model))
        seconds = {**result.timings, "total": round(time.perf_counter() - began, 3)}
        folder.update_summary(timings=seconds, status=result.status, **_due(run, result.status))
        if result.stopped_by is None and folder.writes:
            report(folder, drawn=run.config["report"])
    finally:
        finish_wandb(failed=False)
    return result.stopped_by


def _trained(
    run: Run,
    config: Config,
    folder: RunFolder,
    names: Mapping[str, str],
    *,
    collect: Config | None = None,
    on_rows: Callable[[Sequence[str]], None] | None = None,
) -> Result:
    """Train with this config in this folder, and write all results but the status that the run ends with."""
    what = {"objective": config["objective"]["name"], "data": config["data"]["name"]}
    folder.update_summary(**what, status="interrupted")
    begun = None if config["model"] == run.config["model"] else run.config["model"]
    stage = build_stage(with_parts(config), folder, names, initial=begun)
    if collect is not None:
        stage = replace(stage, collect=call(collect, "recipe.collect"))
    folder.write_json("manifest.json", run.manifest)
    title = folder.path.name if folder.path != run.folder.path else ""
    on_input = noting_rows(run.inputs, title, config["data"]) if run.inputs else None
    result = run_stage(replace(stage, on_rows=on_rows, on_input=on_input), folder)
    folder.write_json("manifest.json", {**run.manifest, **result.facts})
    if result.status == "finished" and folder.writes:
        moments = {"initial": result.initial, "final": result.final}
        as_adapter = config["peft"].get("export") == "adapter"
        model_card = card(
            config,
            run.config["model"],
            run.manifest,
            task=result.policy.task,
            steps=result.steps,
            is_adapter=as_adapter,
            **moments,
        )
        export(result.policy, result.tokenizer, folder.model, model_card, as_adapter=as_adapter)
        folder.write_lines("samples.jsonl", result.samples)
    folder.update_summary(
        steps=result.steps,
        initial=result.initial,
        final=result.final,
        best=result.best,
        tokens_per_second=round(result.tokens_per_second, 1),
        reference_margin=result.reference_margin,
    )
    return result


def _due(run: Run, status: str) -> dict[str, str]:
    """Return the note in the summary that the report of a finished training is to be made, if one is wanted."""
    return {"report": DUE} if status == "finished" and run.config["report"] else {}


def report(folder: RunFolder, *, drawn: bool) -> None:
    """Draw the plots and the page of a finished run; errors are only logged, since the model is trained already.

    The summary says `report: due` until this is done, so that a run which is stopped meanwhile makes it later.
    """
    try:
        pictures = []
        if drawn:
            from alignlab.report.page import (
                write_report,  # its statistics need scipy, and the first step none
            )

            pictures = write_report(folder)
        log_results(folder, pictures)
        log_samples(folder)
    except Exception:
        log.warning("no report: alignlab report runs=%s makes it anew", folder.path, exc_info=True)
        folder.update_summary(report="failed")
    else:
        if drawn:
            folder.update_summary(report="written")


def _show(run: Run, steps: int, seconds: float, moments: Mapping[str, Mapping[str, float]]) -> None:
    what = f"{run.config['objective']['name']} on {run.config['data']['name']}"
    rows = before_and_after(*moments.values())
    estimated = any("±" in cell for row in rows for cell in row)
    title = f"{what}, {steps} steps, {seconds:.0f} s" + (f"; {PLUS_MINUS}" if estimated else "")
    print_table(title, ["", *moments], rows)
    print(f"run folder: {run.folder.path}")
