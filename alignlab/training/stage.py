"""Run one stage: open it, fit it, close it."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import lightning as L
from torch import nn

from alignlab import ranks
from alignlab.data.batching.batches import StepLoader
from alignlab.data.spec import SPLITS
from alignlab.evaluation.gold import GoldReport
from alignlab.judges.judge import Learner
from alignlab.online.steps import OnlineSteps
from alignlab.passes.values import score_of
from alignlab.policies.causal_lm.decoder import has_adapter, recompute
from alignlab.policies.policy import Policy
from alignlab.policies.scorer import Scorer
from alignlab.runs.folder import RunFolder
from alignlab.sampling.rollout import Rollout
from alignlab.training.callbacks.checkpoint import Checkpoint
from alignlab.training.callbacks.judge_state import JudgeState
from alignlab.training.callbacks.moving_reference import following
from alignlab.training.callbacks.online_log import OnlineLog
from alignlab.training.callbacks.progress import TrainingProgress
from alignlab.training.callbacks.same_scores import SameScores
from alignlab.training.callbacks.step_log import StepLog
from alignlab.training.callbacks.validation import Validation
from alignlab.training.checkpointing.checkpoints import Checkpoints
from alignlab.training.collect import collected
from alignlab.training.datamodule import PreferenceData, Steps
from alignlab.training.gold import against, initial_model, measure, side_by_side
from alignlab.training.loggers.csv_log import Rewind
from alignlab.training.memory import MemoryProbe, memory_told
from alignlab.training.module import PreferenceModule
from alignlab.training.online import drawn_steps
from alignlab.training.opened import Clock, Prepared, load, place, prepare, read
from alignlab.training.optim import trainable
from alignlab.training.own_samples import validation_of
from alignlab.training.placing import Place
from alignlab.training.rails import Finite, Tolerance
from alignlab.training.references import reference_margin
from alignlab.training.rows import check_lists, check_policy, content_of, first_ids
from alignlab.training.shown import answers, beside
from alignlab.training.spec import Result, Stage, on_gpu
from alignlab.training.stop import Listener
from alignlab.training.strategies.ddp import Ddp
from alignlab.training.strategies.engine import Engine
from alignlab.training.trainer import make_trainer, precision_of

log = logging.getLogger(__name__)

TOLERANCE = {"32-true": 1e-3, "64-true": 1e-6}
"""How far log-probabilities of one model may be apart, in nats, by precision; `ROUNDED` in lower ones."""
ROUNDED = 0.05
NOISE = {"64-true": 0.0, "32-true": 0.02}
"""How far for each square root of a response's tokens where another batch, or engine, has rounded; `NOISY` in lower
precision. Float32 on a CPU has none to speak of; some kernels of a GPU multiply it as TF32.
"""
NOISY = 0.5

VALIDATIONS = 4
"""Validations of a run, the one at the start apart, where no interval is set."""


def run_stage(stage: Stage, folder: RunFolder) -> Result:
    """Train one stage; it continues from the folder's last checkpoint if there is one."""
    L.seed_everything(stage.seed, verbose=False)
    checkpoints = Checkpoints(
        folder.checkpoints, keep=stage.checkpoint.keep, background=stage.checkpoint.background
    )
    ready, trainer = _open(stage, folder, checkpoints)
    before, shown = _sampled_before(ready), answers(ready, ready.opened.model)
    fitted = _fit(ready, trainer, folder, checkpoints)
    return _close(ready, trainer, fitted, before, shown)


def _open(stage: Stage, folder: RunFolder, checkpoints: Checkpoints) -> tuple[Prepared, L.Trainer]:
    """Rows, policy, references and loader of the stage, at the place where its trainer trains."""
    clock = Clock()
    examples = read(stage, clock)
    check_lists(stage.objective, examples, stage.data, drawn=stage.draws_lists)
    check_policy(stage, examples)
    if stage.on_input:
        stage.on_input("rows", {split: getattr(examples, split).content for split in SPLITS})
        stage.on_input("data", {split: rows.content for split, rows in examples.divided.items()})
    opened = load(stage, examples, clock)
    trainer = make_trainer(stage, folder, checkpoints)
    opened = place(opened, Place.of(trainer, spreads=stage.engine.shards))
    if stage.on_input:
        stage.on_input("tokens", {split: content_of(getattr(opened.splits, split)) for split in SPLITS})
    if stage.on_rows:
        stage.on_rows(opened.splits.train.ids)
    if stage.collect:
        opened = collected(opened, folder)
    for line in opened.report.lines():
        log.info("%s", line)
    folder.write_lines("dropped_rows.jsonl", opened.report.dropped)
    ready = prepare(opened, epochs=stage.trainer.max_epochs, steps=stage.trainer.max_steps)
    with clock.timed("begin"), opened.place.autocast():
        opened.policy.begin(ready.loader.own_share())
    trainer.fit_loop.epoch_loop.max_steps = ready.loader.steps
    return ready, trainer


@dataclass(frozen=True)
class _Fitted:
    """What is left of the fitting, for the result of the stage."""

    module: PreferenceModule
    validation: Validation
    stopped_by: int | None
    """The signal that ended it early."""


def _fit(ready: Prepared, trainer: L.Trainer, folder: RunFolder, checkpoints: Checkpoints) -> _Fitted:
    """Train from the last checkpoint, or from the start, to the last step, or until the run is asked to stop."""
    stage, listener = ready.opened.stage, Listener()
    others = stage.make_callbacks()
    module = _module(ready, trainer, folder)
    validation = Validation(
        validation_of(ready),
        validation_interval(stage, ready.loader, len(ready.opened.splits.validation)),
        listener=listener,
        starts_as_reference=stage.reference.is_start,
        reliability=folder.path / "reliability.jsonl",
        scores=folder if score_of(ready.opened.policy) else None,
        others=others,
    )
    checkpoint = Checkpoint(
        checkpoints, stage.checkpoint, validation, listener, lambda step: folder.update_summary(steps=step)
    )
    loader = drawn_steps(ready, folder) if stage.online else ready.loader
    trainer.callbacks.extend(_callbacks(ready, loader, folder, others, validation, checkpoint))  # type: ignore[attr-defined]
    resume = ranks.broadcast(checkpoints.newest() if ranks.main() else None)
    what = "prompts" if stage.draws_lists else "lists"
    log.info("training: %d %s, %d steps", len(ready.opened.splits.train), what, ready.loader.steps)
    if resume:
        log.info("resuming from %s", resume)
    elif (steps := folder.read_json("summary.json").get("steps", 0)) and ranks.main():
        log.warning(
            "%s did %s steps and holds no checkpoint of them that can be read: the training begins anew",
            folder.path,
            steps,
        )
    with ready.opened.clock.timed("train"), memory_told(stage.data.microbatch_tokens):
        trainer.fit(module, PreferenceData(loader), ckpt_path=resume, weights_only=True)
    return _Fitted(module, validation, listener.asked)


def _module(ready: Prepared, trainer: L.Trainer, folder: RunFolder) -> PreferenceModule:
    """The module that trains the opened policy, which is placed on its device, or spread over the ranks, here."""
    opened, stage, steps = ready.opened, ready.opened.stage, ready.loader.steps
    if stage.trainer.gradient_checkpointing:
        recompute(opened.model)
    learning = nn.ModuleList([opened.policy, *stage.objective.modules.values()])
    count = sum(parameter.numel() for parameter in trainable(learning))
    return PreferenceModule(
        opened.policy,
        stage.objective,
        lambda trained: stage.make_optimizer(trained, steps, count),
        steps=steps,
        engine=stage.engine,
        scorer=stage.engine.place(Scorer(opened.policy), opened.place.device, trainer.precision),
        references=ready.references,
        gradient_clip_val=stage.trainer.gradient_clip_val,
        start_tolerance=start_tolerance(stage, alike=False),
        finite=Finite(folder.nonfinite(ranks.rank()), skips=_skips(stage)),
        meta_rate=stage.trainer.meta_rate,
        reference_is_start=stage.reference.is_start and stage.reference.moving.update == "none",
    )


def _callbacks(
    ready: Prepared,
    loader: Steps,
    folder: RunFolder,
    others: Mapping[str, L.Callback],
    validation: Validation,
    checkpoint: Checkpoint,
) -> Iterator[L.Callback]:
    """The callbacks of the trainer, in the order in which they act.

    `others` stand before the validation and the checkpoint, which act on a stop that they ask for.
    """
    opened, stage = ready.opened, ready.opened.stage
    step_log = StepLog(stage.step_log) if stage.step_log else None
    if step_log:
        step_log.reference_pass(opened.clock.seconds["reference"])
        yield step_log
    yield Rewind()
    if isinstance(loader, OnlineSteps):
        yield OnlineLog(loader)
        if isinstance(judge := loader.source.judge, Learner):
            yield JudgeState(judge)
    yield MemoryProbe(loader.largest(), stage.data.microbatch_tokens)
    tolerance = start_tolerance(stage, alike=not has_adapter(opened.model))  # which the pass had none of
    if tolerance and ready.mode == "precomputed":
        yield SameScores(
            (ready.loader.rows, ready.validation.rows), tolerance, ready.loader.visited(), stage.seed
        )
    yield from others.values()
    yield validation
    yield from following(stage.reference.moving, ready.references[0], opened.policy, validation)
    yield checkpoint
    yield TrainingProgress(stage.progress_every, _title(folder))
    if step_log:
        yield step_log.others_done


def _close(
    ready: Prepared, trainer: L.Trainer, fitted: _Fitted, before: GoldReport | None, shown: Sequence[Rollout]
) -> Result:
    """What the stage came to, with its trained model in one piece where it is finished."""
    opened, stage, validation = ready.opened, ready.opened.stage, fitted.validation
    finished, policy, after = fitted.stopped_by is None, opened.policy, None
    samples: Sequence[Mapping[str, Any]] = ()
    if finished:
        policy = _trained(stage, fitted.module, policy)
    with opened.clock.timed("evaluation"):
        if finished and stage.gold and ranks.main():
            after = _sampled_after(ready, policy.model)
            samples = side_by_side(before, after) if before else ()
    if finished and shown:
        samples = beside(ready, shown, answers(ready, policy.model))
    return Result(
        status="finished" if finished else "interrupted",
        steps=trainer.global_step,
        policy=policy,
        tokenizer=opened.tokenizer,
        initial={**_named("val", validation.initial), **_named("gold", against(before, before))},
        final={**_named("val", validation.final), **_named("gold", against(after, before))},
        best=_named("val", validation.best),
        timings={name: round(value, 3) for name, value in opened.clock.seconds.items()},
        tokens_per_second=fitted.module.tokens_per_second,
        facts=_facts(ready),
        reference_margin=reference_margin(opened.splits.train),
        samples=samples,
        stopped_by=fitted.stopped_by,
    )


def _facts(ready: Prepared) -> dict[str, Any]:
    """What the manifest of the run says of its rows and its reference."""
    opened, mode = ready.opened, ready.mode
    return {
        "rows": {name: dict(counts) for name, counts in opened.report.steps.items()},
        "ignored_columns": dict(opened.report.ignored),
        "data_fingerprints": opened.splits.fingerprints,
        "reference": {"mode": mode, "model": None if mode == "none" else opened.stage.reference.name},
        "first_ids_sha256": first_ids(ready.loader),
    }


def _trained(stage: Stage, module: PreferenceModule, policy: Policy) -> Policy:
    """The trained policy in one piece; on rank 0, where it is spread over several."""
    if not stage.engine.shards:
        return policy.eval()
    weights = stage.engine.whole(module)
    if weights is None:
        return policy
    model = stage.load_model()[0]
    model.load_state_dict(weights)
    return stage.make_policy(model)


def _sampled_before(ready: Prepared) -> GoldReport | None:
    """Samples of the policy as it starts, on the first rank, where the stage has a reward for them."""
    opened, stage = ready.opened, ready.opened.stage
    with opened.clock.timed("evaluation"):
        if stage.gold is None or not ranks.main():
            return None
        start = initial_model(stage, opened.model.device)
        return measure(stage.gold, opened.model, start, opened.encoder, _prompts(ready))


def _sampled_after(ready: Prepared, model: Any) -> GoldReport:
    """Samples of the trained model, whose KL is to the model that the run began with."""
    stage = ready.opened.stage
    assert stage.gold is not None
    start = initial_model(stage, model.device) or stage.load_model()[0].to(model.device)
    return measure(stage.gold, model, start, ready.opened.encoder, _prompts(ready))


def _prompts(ready: Prepared) -> Sequence[Any]:
    gold = ready.opened.stage.gold
    return ready.prompts(gold.prompts if gold else 0)


def start_tolerance(stage: Stage, *, alike: bool) -> Tolerance | None:
    """How far policy and reference may be apart before the first step; None where that may be anything.

    `alike`: the same modules scored both, in the same batches.
    """
    spec = stage.reference
    if not (spec.is_start and spec.check_start and stage.objective.needs_reference):
        return None
    precision = precision_of(stage.trainer)
    nats, noise = TOLERANCE.get(precision, ROUNDED), NOISE.get(precision, NOISY)
    exact = precision == "32-true" and not on_gpu(stage.trainer.accelerator)
    same = alike and type(stage.engine) in (Engine, Ddp)  # others compute in ways of their own
    return Tolerance(nats, 0.0 if exact or same else noise)


def validation_interval(stage: Stage, loader: StepLoader, validation: int) -> int:
    """Steps between validations: four a run, fewer where they would cost more than the training."""
    if stage.trainer.validate_every_n_steps:
        return stage.trainer.validate_every_n_steps
    times = min(VALIDATIONS, max(1, loader.steps * loader.lists_per_step // validation))
    return -(-loader.steps // times)


def _skips(stage: Stage) -> int:
    """How many steps without a finite loss may be left out."""
    return stage.trainer.max_nonfinite if stage.trainer.on_nonfinite == "skip" else 0


def _title(folder: RunFolder) -> str:
    """What progress is called by: the stage, where there are several."""
    return folder.path.name if folder.path.parent.name == "stages" else ""


def _named(split: str, metrics: dict[str, float]) -> dict[str, float]:
    return {f"{split}/{name}": value for name, value in metrics.items()}
