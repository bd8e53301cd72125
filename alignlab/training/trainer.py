"""The Lightning trainer of a stage."""

from typing import Any

import lightning as L
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment

from alignlab import ranks
from alignlab.runs.folder import RunFolder
from alignlab.training.checkpointing.checkpoints import Checkpoints
from alignlab.training.settings import TrainerSpec
from alignlab.training.spec import Stage, on_gpu


def make_trainer(stage: Stage, folder: RunFolder, checkpoints: Checkpoints) -> L.Trainer:
    """A trainer without a limit of steps: their number is known, and set, once the rows are."""
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
        check_val_every_n_epoch=None,  # callbacks that go by validations look after each, not at an epoch's end
        val_check_interval=1,
        default_root_dir=folder.path,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1,
        use_distributed_sampler=False,
        plugins=[checkpoints, *alone],
    )


def precision_of(spec: TrainerSpec) -> Any:
    """The precision that `auto` stands for: autocast to bfloat16 on a GPU that computes in it, else float32."""
    if spec.precision != "auto":
        return spec.precision
    exact = not on_gpu(spec.accelerator) or not torch.cuda.is_bf16_supported(including_emulation=False)
    return "32-true" if exact else "bf16-mixed"
