"""The engine of DeepSpeed's ZeRO: the ranks share optimizer state, then gradients, then weights, as the stage says."""

import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from importlib.util import find_spec
from typing import Annotated, Any

import lightning as L
import torch
import torch.distributed as dist
from torch import Tensor, nn

from alignlab.objective.objective import Objective
from alignlab.settings import Count, Positive, whole
from alignlab.training.strategies.engine import Engine
from alignlab.training.strategies.zero_strategy import ZeroStrategy

WHOLE = 3
"""The first ZeRO stage at which no rank holds all weights."""


class Zero(Engine):
    """The engine of a ZeRO stage: 1 shards the optimizer state, 2 gradients too, 3 weights too; the optimizer is ours.

    With bfloat16 weights are rounded once at the start, and the optimizer moves float32 copies of them.
    `offload` keeps weights and optimizer state of stage 3 in CPU memory. `bucket_elements` travel at a
    time; weights of fewer than `persist_below` elements stay whole on every rank.
    """

    probes = False  # DeepSpeed would add what it kept to the first step
    keeps_float32 = True

    def __init__(
        self,
        *,
        stage: Annotated[int, whole(1, 3)],
        offload: bool = False,
        bucket_elements: Positive = 2 * 10**8,
        persist_below: Count = 10**5,
    ) -> None:
        self.stage, self.offload = stage, offload
        self.bucket_elements, self.persist_below = bucket_elements, persist_below
        self.shards = stage >= WHOLE

    def lightning(self, clip: float | None) -> Any:
        """Return our DeepSpeed strategy for Lightning's trainer; it runs on CPU ranks too."""
        on_gpu = "nccl" in dist.get_backend_config() if dist.is_initialized() else torch.cuda.is_available()
        if not on_gpu:
            os.environ["DS_ACCELERATOR"] = "cpu"
        return ZeroStrategy(config=self.config(clip, on_gpu=on_gpu), logging_level=40)

    def config(self, clip: float | None, *, on_gpu: bool) -> dict[str, Any]:
        """Return the configuration that DeepSpeed is initialized with."""
        zero: dict[str, Any] = {
            "stage": self.stage,
            "overlap_comm": on_gpu,
            "contiguous_gradients": True,
            "reduce_bucket_size": self.bucket_elements,
            "allgather_bucket_size": self.bucket_elements,
        }
        if self.shards:
            zero["stage3_param_persistence_threshold"] = self.persist_below
        if self.offload:
            place = {"device": "cpu", "pin_memory": on_gpu}
            zero |= {"offload_param": place, "offload_optimizer": place}
        return {
            "zero_optimization": zero,
            "zero_allow_untested_optimizer": True,
            "zero_force_ds_cpu_optimizer": False,  # torch's is as exact, and needs no compiler
            "gradient_clipping": clip or 0.0,
            "data_types": {"grad_accum_dtype": "fp32"},
            "train_micro_batch_size_per_gpu": 1,  # says nothing: micro-batches go by tokens
            "steps_per_print": 2**62,
        }

    def place(self, scorer: nn.Module, device: torch.device, precision: str) -> nn.Module:
        """Move the scorer to its device; at stage 3 DeepSpeed places each weight, and the rank keeps only its share."""
        return scorer if self.shards else scorer.to(device)

    def micro(self, trainer: L.Trainer, *, last: bool) -> AbstractContextManager[Any]:
        """Tell DeepSpeed's optimizer whether this micro-batch is the last of the step."""
        zero_engine(trainer).set_gradient_accumulation_boundary(last)
        return nullcontext()

    def update(self, module: Any, passes: Callable[[float], bool]) -> float:
        """Let DeepSpeed clip and step at once (it skips a gradient that is not finite); returns the gradient's norm."""
        module.optimizers().step()
        norm = float(zero_engine(module.trainer).get_global_grad_norm())
        norm = norm if norm >= 0 else math.inf  # it calls what is no number -1
        passes(norm)
        return norm

    def whole(self, module: Any) -> dict[str, Tensor] | None:
        """Return the weights that the strategy gathered when the training ended: by name on rank 0, None elsewhere."""
        trained: dict[str, Tensor] | None = module.trainer.strategy.trained
        return trained


def misuses(config: Mapping[str, Any], objective: Objective) -> Iterator[str]:
    """Yield a message for everything that keeps a config from training with DeepSpeed."""
    trainer, strategy = config["trainer"], config["strategy"]["name"]
    if not find_spec("deepspeed"):
        yield f"strategy={strategy} needs the deepspeed package: pip install -e '.[deepspeed]'"
    if trainer["on_nonfinite"] == "skip":
        yield (
            "trainer.on_nonfinite=skip: DeepSpeed clips and moves in one, so that a step cannot be left out; "
            "use trainer.on_nonfinite=stop, or strategy=fsdp2"
        )
    if trainer["precision"] == "64-true":
        yield "trainer.precision=64-true: DeepSpeed computes in 32 bits or fewer; use 32-true, or strategy=ddp"
    if "parameter_distance" in objective.signals:
        yield f"strategy={strategy} keeps gradients to itself, and l2_to_reference cannot add to them; use fsdp2"
    if "zero3" in strategy and config["reference"]["update"] != "none":
        update = config["reference"]["update"]
        yield f"reference.update={update} reads whole weights, and with strategy={strategy} no rank has them; use ddp"


def zero_engine(trainer: L.Trainer) -> Any:
    """Return the DeepSpeed engine that wraps the trainer's model."""
    return trainer.strategy.model
