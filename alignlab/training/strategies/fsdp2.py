"""FSDP2: torch's `fully_shard`, of every parameter a share along its first dimension."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import lightning as L
import torch
from lightning.pytorch.strategies import ModelParallelStrategy
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import (
    CPUOffloadPolicy,
    FSDPModule,
    MixedPrecisionPolicy,
    OffloadPolicy,
    fully_shard,
)

from alignlab import ranks
from alignlab.policies.causal_lm.decoder import layers_of
from alignlab.training.strategies.sharded import Sharded, ShardedStrategy


class Fsdp2(Sharded):
    """Every decoder layer is put together where it runs; what is not in a layer, for the whole micro-batch."""

    def lightning(self, clip: float | None) -> Any:
        """Lightning's own, with our checkpoints."""
        return Fsdp2Strategy(data_parallel_size=ranks.world(), tensor_parallel_size=1)

    def place(self, scorer: nn.Module, device: torch.device, precision: str) -> nn.Module:
        """Sharded in place. With bfloat16, gradients meet in float32; mixed, parameters are rounded as they travel."""
        offload = self.cpu_offload and device.type != "cpu"
        options: dict[str, Any] = {
            "mesh": init_device_mesh(device.type, (ranks.world(),)),
            "mp_policy": MixedPrecisionPolicy(
                param_dtype=torch.bfloat16 if precision == "bf16-mixed" else None,
                reduce_dtype=torch.float32 if precision.startswith("bf16") else None,
            ),
            "offload_policy": CPUOffloadPolicy() if offload else OffloadPolicy(),
        }
        for layer in layers_of(scorer.policy.model):  # type: ignore[union-attr]
            fully_shard(layer, reshard_after_forward=self.reshard_after_forward, **options)
        fully_shard(scorer, reshard_after_forward=False, **options)
        scorer.register_forward_hook(_reshard_without_gradient)
        return scorer

    def micro(self, trainer: L.Trainer, *, last: bool) -> AbstractContextManager[Any]:
        """Gradients meet now, or are kept whole for the last one."""
        if self.reduce == "last":
            trainer.lightning_module.scorer.set_requires_gradient_sync(last)  # type: ignore[operator, union-attr]
        return nullcontext()


class Fsdp2Strategy(ShardedStrategy, ModelParallelStrategy):
    """For a module that is sharded and in place when it comes."""


def _reshard_without_gradient(scorer: Any, _inputs: Any, _output: Any) -> None:
    """With a gradient, the backward does it."""
    for module in () if torch.is_grad_enabled() else scorer.modules():
        if isinstance(module, FSDPModule):
            module.reshard()
