"""The engine of FSDP2: torch's `fully_shard`, which cuts every parameter in shares along its first dimension."""

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
    """The FSDP2 engine: a decoder layer is gathered while it runs, all other parameters for the whole micro-batch."""

    def lightning(self, clip: float | None) -> Any:
        """Return Lightning's strategy for parallel models, with our checkpoints."""
        return Fsdp2Strategy(data_parallel_size=ranks.world(), tensor_parallel_size=1)

    def place(self, scorer: nn.Module, device: torch.device, precision: str) -> nn.Module:
        """Shard the scorer in place. With bfloat16, gradients are reduced in float32; `bf16-mixed` gathers bfloat16."""
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
        """Have ranks exchange gradients after this micro-batch, or with `reduce=last` only after the last one."""
        if self.reduce == "last":
            trainer.lightning_module.scorer.set_requires_gradient_sync(last)  # type: ignore[operator, union-attr]
        return nullcontext()


class Fsdp2Strategy(ShardedStrategy, ModelParallelStrategy):
    """Lightning's strategy for a module that is sharded and placed already."""


def _reshard_without_gradient(scorer: Any, _inputs: Any, _output: Any) -> None:
    """Shard all layers again after a forward without gradient; with one, the backward does that."""
    for module in () if torch.is_grad_enabled() else scorer.modules():
        if isinstance(module, FSDPModule):
            module.reshard()
