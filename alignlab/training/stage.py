"""Run one stage: rows, reference, training, evaluation."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import lightning as L
import torch

from alignlab.data.batches import StepLoader
from alignlab.data.load import load_examples
from alignlab.data.tokenize import Encoder
from alignlab.policies.causal_lm import CausalLM
from alignlab.training.callbacks.checkpoint import Checkpoint
from alignlab.training.callbacks.moving_reference import following
from alignlab.training.callbacks.progress import TrainingProgress
from alignlab.training.callbacks.step_log import StepLog
from alignlab.training.callbacks.validation import Validation
from alignlab.training.checkpoints import Checkpoints
from alignlab.training.collect import collected
from alignlab.training.datamodule import PreferenceData
from alignlab.training.gold import measure, side_by_side
from alignlab.training.loggers.csv_log import Rewind
from alignlab.training.memory import MemoryProbe, memory_told
from alignlab.training.module import PreferenceModule
from alignlab.training.rails import Finite
from alignlab.training.rows import (
    affordable,
    attach_reference,
    check_lists,
    extras_for,
    feature_sizes,
    first_ids,
    reference_margin,
    tokenize,
    with_rationales,
)
from alignlab.training.run_folder import RunFolder
from alignlab.training.select import selected
from alignlab.training.spec import Result, Stage, TrainerSpec
from alignlab.training.stop import Listener

log = logging.getLogger(__name__)

TOLERANCE = {"32-true": 1e-3, "64-true": 1e-6}
"""How far the first loss may be from its value at zero log-ratios; 0.05 in lower precision."""

VALIDATIONS = 4
"""Validations of a run, the one at the start apart, where no interval is set."""


def run_stage(stage: Stage, folder: RunFolder) -> Result:
    """Train one stage; goes on from the folder's last checkpoint if there is one."""
    seconds: dict[str, float] = {}
    L.seed_everything(stage.seed, verbose=False)
    with _timed(seconds, "data"):
        examples = load_examples(with_rationales(stage.data, stage.objective), stage.cache_dir)
        check_lists(stage.objective, examples, stage.data)
    with _timed(seconds, "model"):
        model, tokenizer = stage.load_model()
        if stage.trainer.gradient_checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        policy, encoder = CausalLM(model, packing=stage.packing), Encoder(tokenizer, stop_ids(model))
    with _timed(seconds, "tokenize"):
        splits = tokenize(stage, examples, encoder, model)
    checkpoints = Checkpoints(
        folder.checkpoints, keep=stage.checkpoint.keep, background=stage.checkpoint.background
    )
    trainer = _trainer(stage, folder, checkpoints)
    trainer.precision_plugin.convert_module(policy).to(trainer.strategy.root_device)
    with _timed(seconds, "reference"), trainer.precision_plugin.forward_context():
        splits, ordered = selected(stage, policy, splits, examples)
        if stage.on_rows:
            stage.on_rows(splits.train.ids)
        if stage.collect:
            splits = collected(stage, folder, splits, encoder, model, examples.report)
    for line in examples.report.lines():
        log.info("%s", line)
    folder.write_lines("dropped_rows.jsonl", examples.report.dropped)

    stage.objective.bind(feature_sizes(model))
    extras = extras_for(stage.objective, stage.data, tokenizer, model)
    order = {**_order(stage, ordered=ordered), "packed": policy.packed, "extras": extras}
    steps = stage.trainer.max_steps or stage.trainer.max_epochs * len(StepLoader(splits.train, **order))
    loader = StepLoader(splits.train, steps=steps, **order)
    splits = replace(splits, validation=affordable(splits.validation, loader))
    trainer.fit_loop.epoch_loop.max_steps = steps
    with _timed(seconds, "reference"), trainer.precision_plugin.forward_context():
        mode, references, splits = attach_reference(stage, policy, splits, loader)
    for reference in references:
        if isinstance(reference, CausalLM):
            trainer.precision_plugin.convert_module(reference)

    prompts = [splits.validation.messages(i) for i in range(min(_prompts(stage), len(splits.validation)))]
    before = after = None
    with _timed(seconds, "evaluation"):
        if stage.gold:
            before = measure(stage.gold, model, _initial(stage, model), encoder, prompts)

    module = PreferenceModule(
        policy,
        stage.objective,
        lambda trained: stage.make_optimizer(trained, steps),
        steps=steps,
        references=references,
        gradient_clip_val=stage.trainer.gradient_clip_val,
        start_tolerance=_start_tolerance(stage),
        finite=Finite(folder.path / "nonfinite", skips=_skips(stage)),
        reference_is_start=stage.reference.is_start and stage.reference.moving.update == "none",
    )
    listener = Listener()
    validation = Validation(
        StepLoader(splits.validation, **{**order, "shuffle": False}),
        stage.trainer.validate_every_n_steps or _validation_interval(loader, len(splits.validation)),
        listener=listener,
        starts_as_reference=stage.reference.is_start,
    )
    checkpoint = Checkpoint(
        checkpoints, stage.checkpoint, validation, listener, lambda step: folder.update_summary(steps=step)
    )
    progress = TrainingProgress(stage.progress_every, _title(folder))
    budget = stage.data.microbatch_tokens
    probe = MemoryProbe(loader.largest(), budget)
    callbacks: list[L.Callback] = [
        Rewind(),
        probe,
        validation,
        *following(stage.reference.moving, references[0], policy),
        checkpoint,
        progress,
    ]
    if stage.step_log:
        steps_told = StepLog(stage.step_log)
        steps_told.reference_pass(seconds["reference"])
        callbacks = [steps_told, *callbacks, steps_told.others_done]
    trainer.callbacks.extend(callbacks)  # type: ignore[attr-defined]
    data = PreferenceData(splits.train, steps=steps, **order)
    resume = checkpoints.newest()
    log.info("training: %d lists, %d steps", len(splits.train), steps)
    if resume:
        log.info("resuming from %s", resume)
    with _timed(seconds, "train"), memory_told(budget):
        trainer.fit(module, data, ckpt_path=resume, weights_only=True)

    finished = listener.asked is None
    with _timed(seconds, "evaluation"):
        if finished and stage.gold:
            start = _initial(stage, model) or stage.load_model()[0].to(model.device)
            after = measure(stage.gold, model, start, encoder, prompts)
    return Result(
        status="finished" if finished else "interrupted",
        steps=trainer.global_step,
        model=model,
        tokenizer=tokenizer,
        initial={**_named("val", validation.initial), **_named("gold", before.metrics if before else {})},
        final={**_named("val", validation.final), **_named("gold", after.metrics if after else {})},
        best=_named("val", validation.best),
        timings={name: round(value, 3) for name, value in seconds.items()},
        tokens_per_second=module.tokens_per_second,
        facts={
            "rows": {name: dict(counts) for name, counts in examples.report.steps.items()},
            "data_fingerprints": splits.fingerprints,
            "reference": {"mode": mode, "model": None if mode == "none" else stage.reference.name},
            "first_ids_sha256": first_ids(loader),
        },
        reference_margin=reference_margin(splits.train),
        samples=side_by_side(before, after) if before and after else (),
        stopped_by=listener.asked,
    )


def _validation_interval(loader: StepLoader, validation: int) -> int:
    """Steps between validations: four a run, fewer where they would cost more than the training."""
    times = min(VALIDATIONS, max(1, loader.steps * loader.lists_per_step // validation))
    return -(-loader.steps // times)


def stop_ids(model: Any) -> list[int]:
    """Tokens with which the model ends a turn, by its generation config."""
    ids = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    return [] if ids is None else [ids] if isinstance(ids, int) else list(ids)


def precision_of(spec: TrainerSpec) -> Any:
    """The precision that `auto` stands for: autocast to bfloat16 on a GPU that computes in it, else float32."""
    if spec.precision != "auto":
        return spec.precision
    on_gpu = spec.accelerator != "cpu" and torch.cuda.is_available()
    return "bf16-mixed" if on_gpu and torch.cuda.is_bf16_supported(including_emulation=False) else "32-true"


def _trainer(stage: Stage, folder: RunFolder, checkpoints: Checkpoints) -> L.Trainer:
    """How many steps it takes is known, and set, once the rows are."""
    spec = stage.trainer
    return L.Trainer(
        accelerator=spec.accelerator,
        devices=spec.devices,
        num_nodes=spec.num_nodes,
        precision=precision_of(spec),
        max_epochs=-1,
        logger=list(stage.make_loggers()),
        limit_val_batches=0,
        default_root_dir=folder.path,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1,
        use_distributed_sampler=False,
        plugins=[checkpoints],
    )


def _order(stage: Stage, *, ordered: bool) -> dict[str, Any]:
    data = stage.data
    if ordered and data.shuffle is True:
        log.warning("data.shuffle=true undoes the order that the pipeline gives")
    return {
        "lists_per_step": data.lists_per_step,
        "microbatch_tokens": data.microbatch_tokens,
        "shuffle": not ordered if data.shuffle == "auto" else data.shuffle,
        "seed": stage.seed,
    }


def _skips(stage: Stage) -> int:
    return stage.trainer.max_nonfinite if stage.trainer.on_nonfinite == "skip" else 0


def _start_tolerance(stage: Stage) -> float | None:
    spec = stage.reference
    checks = spec.is_start and spec.check_start and stage.objective.needs_reference
    return TOLERANCE.get(precision_of(stage.trainer), 0.05) if checks else None


def _initial(stage: Stage, model: Any) -> Any | None:
    """The model that the run began with, where the stage begins with another."""
    return None if stage.load_initial is None else stage.load_initial()[0].to(model.device)


def _title(folder: RunFolder) -> str:
    """What progress is called by: the stage, where there are several."""
    return folder.path.name if folder.path.parent.name == "stages" else ""


def _prompts(stage: Stage) -> int:
    return stage.gold.prompts if stage.gold else 0


def _named(split: str, metrics: dict[str, float]) -> dict[str, float]:
    return {f"{split}/{name}": value for name, value in metrics.items()}


@contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - began
