"""Run one stage: rows, reference, training, evaluation."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import lightning as L
from torch import nn

from alignlab import ranks
from alignlab.data.batching.batches import StepLoader
from alignlab.data.encoding.tokenize import Encoder
from alignlab.data.load import load_examples
from alignlab.policies.causal_lm.decoder import recompute
from alignlab.policies.causal_lm.model import CausalLM
from alignlab.policies.scorer import Scorer
from alignlab.runs.folder import RunFolder
from alignlab.training.callbacks.checkpoint import Checkpoint
from alignlab.training.callbacks.moving_reference import following
from alignlab.training.callbacks.progress import TrainingProgress
from alignlab.training.callbacks.step_log import StepLog
from alignlab.training.callbacks.validation import Validation
from alignlab.training.checkpointing.checkpoints import Checkpoints
from alignlab.training.collect import collected
from alignlab.training.datamodule import PreferenceData
from alignlab.training.gold import against, measure, side_by_side
from alignlab.training.loggers.csv_log import Rewind
from alignlab.training.memory import MemoryProbe, memory_told
from alignlab.training.module import PreferenceModule
from alignlab.training.optim import trainable
from alignlab.training.rails import Finite
from alignlab.training.references import attach_reference, reference_margin
from alignlab.training.rows import (
    affordable,
    check_lists,
    extras_for,
    feature_sizes,
    first_ids,
    tokenize,
    with_rationales,
)
from alignlab.training.setup import (
    make_trainer,
    order_of,
    skips,
    start_tolerance,
    stop_ids,
    title,
    validation_interval,
)
from alignlab.training.spec import Result, Stage
from alignlab.training.stop import Listener
from alignlab.training.token_steps import selected

log = logging.getLogger(__name__)


def run_stage(stage: Stage, folder: RunFolder) -> Result:
    """Train one stage; goes on from the folder's last checkpoint if there is one."""
    seconds: dict[str, float] = {}
    L.seed_everything(stage.seed, verbose=False)
    with _timed(seconds, "data"):
        examples = load_examples(with_rationales(stage.data, stage.objective), stage.cache_dir)
        check_lists(stage.objective, examples, stage.data)
    with _timed(seconds, "model"), ranks.main_first():
        model, tokenizer = stage.load_model()
        policy, encoder = CausalLM(model, packing=stage.packing), Encoder(tokenizer, stop_ids(model))
    with _timed(seconds, "tokenize"):
        splits = tokenize(stage, examples, encoder, model)
    checkpoints = Checkpoints(
        folder.checkpoints, keep=stage.checkpoint.keep, background=stage.checkpoint.background
    )
    trainer = make_trainer(stage, folder, checkpoints)
    device = trainer.strategy.root_device
    trainer.precision_plugin.convert_module(policy)
    if not stage.engine.shards:
        policy.to(device)
    with _timed(seconds, "reference"), trainer.precision_plugin.forward_context():
        splits, ordered = selected(stage, policy, splits, examples, device)
        if stage.on_rows:
            stage.on_rows(splits.train.ids)
        if stage.collect:
            splits = collected(stage, folder, splits, encoder, model, examples.report)
    for line in examples.report.lines():
        log.info("%s", line)
    folder.write_lines("dropped_rows.jsonl", examples.report.dropped)

    stage.objective.bind(feature_sizes(model))
    extras = extras_for(stage.objective, stage.data, tokenizer, model)
    order = {**order_of(stage, ordered=ordered), "packed": policy.packed, "extras": extras}
    steps = stage.trainer.max_steps or stage.trainer.max_epochs * len(StepLoader(splits.train, **order))
    loader = StepLoader(splits.train, steps=steps, **order)
    splits = replace(splits, validation=affordable(splits.validation, loader))
    trainer.fit_loop.epoch_loop.max_steps = steps
    with _timed(seconds, "reference"), trainer.precision_plugin.forward_context():
        mode, references, splits = attach_reference(stage, policy, splits, loader, device)
    for reference in references:
        if isinstance(reference, CausalLM):
            trainer.precision_plugin.convert_module(reference)

    prompts = [splits.validation.messages(i) for i in range(min(_prompts(stage), len(splits.validation)))]
    before = after = None
    with _timed(seconds, "evaluation"):
        if stage.gold and ranks.main():
            before = measure(stage.gold, model, _initial(stage, model), encoder, prompts)

    if stage.trainer.gradient_checkpointing:
        recompute(model)
    learning = nn.ModuleList([policy, *stage.objective.modules.values()])
    count = sum(parameter.numel() for parameter in trainable(learning))
    module = PreferenceModule(
        policy,
        stage.objective,
        lambda trained: stage.make_optimizer(trained, steps, count),
        steps=steps,
        engine=stage.engine,
        scorer=stage.engine.place(Scorer(policy), device, trainer.precision),
        references=references,
        gradient_clip_val=stage.trainer.gradient_clip_val,
        start_tolerance=start_tolerance(stage),
        finite=Finite(folder.nonfinite(ranks.rank()), skips=skips(stage)),
        reference_is_start=stage.reference.is_start and stage.reference.moving.update == "none",
    )
    listener = Listener()
    validation = Validation(
        StepLoader(splits.validation, **{**order, "shuffle": False}),
        validation_interval(stage, loader, len(splits.validation)),
        listener=listener,
        starts_as_reference=stage.reference.is_start,
        reliability=folder.path / "reliability.jsonl",
    )
    checkpoint = Checkpoint(
        checkpoints, stage.checkpoint, validation, listener, lambda step: folder.update_summary(steps=step)
    )
    progress = TrainingProgress(stage.progress_every, title(folder))
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
    resume = ranks.broadcast(checkpoints.newest() if ranks.main() else None)
    log.info("training: %d lists, %d steps", len(splits.train), steps)
    if resume:
        log.info("resuming from %s", resume)
    with _timed(seconds, "train"), memory_told(budget):
        trainer.fit(module, data, ckpt_path=resume, weights_only=True)

    finished = listener.asked is None
    if finished:
        model = _trained(stage, module, model)
    with _timed(seconds, "evaluation"):
        if finished and stage.gold and ranks.main():
            start = _initial(stage, model) or stage.load_model()[0].to(model.device)
            after = measure(stage.gold, model, start, encoder, prompts)
    return Result(
        status="finished" if finished else "interrupted",
        steps=trainer.global_step,
        model=model,
        tokenizer=tokenizer,
        initial={**_named("val", validation.initial), **_named("gold", against(before, before))},
        final={**_named("val", validation.final), **_named("gold", against(after, before))},
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


def _trained(stage: Stage, module: PreferenceModule, model: Any) -> Any:
    """The trained model in one piece; on rank 0, where it is spread over several."""
    if not stage.engine.shards:
        return model.eval()
    weights = stage.engine.whole(module)
    if weights is not None:
        model = stage.load_model()[0]
        model.load_state_dict(weights)
    return model


def _initial(stage: Stage, model: Any) -> Any | None:
    """The model that the run began with, where the stage begins with another."""
    return None if stage.load_initial is None else stage.load_initial()[0].to(model.device)


def _prompts(stage: Stage) -> int:
    return stage.gold.prompts if stage.gold else 0


def _named(split: str, metrics: dict[str, float]) -> dict[str, float]:
    return {f"{split}/{name}": value for name, value in metrics.items()}


@contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - began
