"""What a stage settles before it trains: the trainer, the order of its rows, how exact its start must be."""

import logging
from typing import Any

import lightning as L
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment

from alignlab import ranks
from alignlab.data.batching.batches import StepLoader
from alignlab.runs.folder import RunFolder
from alignlab.training.checkpointing.checkpoints import Checkpoints
from alignlab.training.settings import TrainerSpec
from alignlab.training.spec import Stage, on_gpu

log = logging.getLogger(__name__)

TOLERANCE = {"32-true": 1e-3, "64-true": 1e-6}
"""How far the first loss may be from its value at zero log-ratios; 0.05 in lower precision."""

VALIDATIONS = 4
"""Validations of a run, the one at the start apart, where no interval is set."""


def make_trainer(stage: Stage, folder: RunFolder, checkpoints: Checkpoints) -> L.Trainer:
    """How many steps it takes is known, and set, once the rows are."""
    spec = stage.trainer
    strategy = stage.engine.lightning(spec.gradient_clip_val)
    alone = [LightningEnvironment()] if strategy == "auto" else []  # else it would look for SLURM by itself
    return L.Trainer(
        accelerator=spec.accelerator,
        devices=spec.devices,
        num_nodes=spec.num_nodes,
        strategy=strategy,
        precision=precision_of(spec),
        max_epochs=-1,
        logger=list(stage.make_loggers()) if ranks.main() else False,
        limit_val_batches=0,
        default_root_dir=folder.path,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1,
        use_distributed_sampler=False,
        plugins=[checkpoints, *alone],
    )


def order_of(stage: Stage, *, ordered: bool) -> dict[str, Any]:
    """How a StepLoader is to go through the rows; `ordered` where their order matters."""
    data = stage.data
    if ordered and data.shuffle is True:
        log.warning("data.shuffle=true undoes the order that the pipeline gives")
    return {
        "lists_per_step": data.lists_per_step,
        "microbatch_tokens": data.microbatch_tokens,
        "shuffle": not ordered if data.shuffle == "auto" else data.shuffle,
        "seed": stage.seed,
        "rank": ranks.rank(),
        "world": ranks.world(),
    }


def precision_of(spec: TrainerSpec) -> Any:
    """The precision that `auto` stands for: autocast to bfloat16 on a GPU that computes in it, else float32."""
    if spec.precision != "auto":
        return spec.precision
    exact = not on_gpu(spec.accelerator) or not torch.cuda.is_bf16_supported(including_emulation=False)
    return "32-true" if exact else "bf16-mixed"


def start_tolerance(stage: Stage) -> float | None:
    """How far the first loss may be from that of zero log-ratios; None where it may be anything."""
    spec = stage.reference
    checks = spec.is_start and spec.check_start and stage.objective.needs_reference
    return TOLERANCE.get(precision_of(stage.trainer), 0.05) if checks else None


def validation_interval(stage: Stage, loader: StepLoader, validation: int) -> int:
    """Steps between validations: four a run, fewer where they would cost more than the training."""
    if stage.trainer.validate_every_n_steps:
        return stage.trainer.validate_every_n_steps
    times = min(VALIDATIONS, max(1, loader.steps * loader.lists_per_step // validation))
    return -(-loader.steps // times)


def skips(stage: Stage) -> int:
    """How many steps without a finite loss may be left out."""
    return stage.trainer.max_nonfinite if stage.trainer.on_nonfinite == "skip" else 0


def stop_ids(model: Any) -> list[int]:
    """Tokens with which the model ends a turn, by its generation config."""
    ids = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    return [] if ids is None else [ids] if isinstance(ids, int) else list(ids)


def title(folder: RunFolder) -> str:
    """What progress is called by: the stage, where there are several."""
    return folder.path.name if folder.path.parent.name == "stages" else ""
