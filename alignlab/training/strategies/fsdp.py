"""The engine of FSDP1: torch FullyShardedDataParallel, which flattens the parameters of a layer and cuts them up."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import lightning as L
import torch
from lightning.pytorch import plugins
from lightning.pytorch.accelerators import CUDAAccelerator
from lightning.pytorch.strategies import FSDPStrategy
from torch import nn
from torch.distributed.fsdp import CPUOffload, FullyShardedDataParallel, MixedPrecision, ShardingStrategy
from torch.distributed.fsdp.wrap import CustomPolicy

from alignlab import ranks
from alignlab.policies.causal_lm.decoder import layers_of
from alignlab.training.strategies import shares
from alignlab.training.strategies.sharded import Sharded, ShardedStrategy


class Fsdp(Sharded):
    """The FSDP1 engine: a decoder layer is gathered while it runs, all other parameters for the whole micro-batch."""

    offloads_every = False

    def lightning(self, clip: float | None) -> Any:
        """Return Lightning's FSDP strategy with our checkpoints; it runs on CPU ranks too."""
        return FsdpStrategy()

    def place(self, scorer: nn.Module, device: torch.device, precision: str) -> nn.Module:
        """Wrap the scorer in FSDP1. With bfloat16, gradients are reduced in float32; `bf16-mixed` gathers bfloat16."""
        shares.note_shapes(scorer)
        layers = {id(layer) for layer in layers_of(scorer.policy.model)}  # type: ignore[union-attr]
        spread = ShardingStrategy.FULL_SHARD if self.reshard_after_forward else ShardingStrategy.SHARD_GRAD_OP
        offload = self.cpu_offload and device.type != "cpu"
        return FullyShardedDataParallel(
            scorer,
            sharding_strategy=spread if ranks.world() > 1 else ShardingStrategy.NO_SHARD,
            auto_wrap_policy=CustomPolicy(lambda module: id(module) in layers),
            cpu_offload=CPUOffload(offload_params=offload),
            mixed_precision=MixedPrecision(
                param_dtype=torch.bfloat16 if precision == "bf16-mixed" else None,
                reduce_dtype=torch.float32 if precision.startswith("bf16") else None,
            ),
            device_id=device,
            use_orig_params=True,
        )

    def micro(self, trainer: L.Trainer, *, last: bool) -> AbstractContextManager[Any]:
        """Return the context of a micro-batch: gradients are exchanged, or with `reduce=last` only for the last one."""
        apart: AbstractContextManager[Any] = nullcontext()
        if self.reduce == "last" and not last:
            apart = trainer.lightning_module.scorer.no_sync()  # type: ignore[operator, union-attr]
        return apart


class FsdpStrategy(ShardedStrategy, FSDPStrategy):
    """Lightning's FSDP strategy for a module that is wrapped and placed already; it runs on CPU ranks too."""

    @property
    def precision_plugin(self) -> Any:
        """The precision plugin that other strategies use, so that references compute as they do there."""
        return self._precision_plugin or plugins.Precision()

    @precision_plugin.setter
    def precision_plugin(self, plugin: Any) -> None:
        if plugin is not None and plugin.precision == "bf16-mixed":
            device = "cuda" if isinstance(self.accelerator, CUDAAccelerator) else "cpu"
            plugin = plugins.MixedPrecision(plugin.precision, device)
        elif plugin is not None:
            halves = plugin.precision == "bf16-true"
            plugin = plugins.HalfPrecision(plugin.precision) if halves else plugins.Precision()
        self._precision_plugin = plugin
