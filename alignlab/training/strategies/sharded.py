"""What the engines that shard by FSDP have in common: the update, the trained model, and their checkpoints."""

from collections.abc import Mapping, Sequence
from typing import Any

import lightning as L
import torch
import torch.distributed as dist
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.pytorch.strategies import ParallelStrategy
from torch import Tensor
from torch.optim import Optimizer

from alignlab import ranks
from alignlab.errors import ConfigError, RunError, one_of
from alignlab.training.checkpointing.sharded_files import Held, ShardedFiles
from alignlab.training.strategies import shares
from alignlab.training.strategies.engine import Engine


class Sharded(Engine):
    """Parameters, gradients and optimizer state of the policy are spread over the ranks.

    `reshard_after_forward`: a layer is put together once more for its backward; without, it stays whole in
    between, for less traffic and more memory. `cpu_offload`: what a rank holds is in CPU memory, and the
    optimizer works there. `reduce` says when gradients meet: after `every` micro-batch, so that a rank keeps
    its share only, or after the `last` one of a step, with less traffic and whole gradients until then.
    """

    shards = True
    offloads_every = True
    """Whether gradients may meet after every micro-batch with cpu_offload."""

    def __init__(
        self,
        *,
        reshard_after_forward: bool = True,
        cpu_offload: bool = False,
        reduce: str = "every",
    ) -> None:
        one_of("strategy.engine.reduce", reduce, ("every", "last"))
        if cpu_offload and reduce == "every" and not self.offloads_every:
            raise ConfigError(
                "strategy=fsdp loses gradients with cpu_offload: set strategy.engine.reduce=last"
            )
        self.reshard_after_forward, self.cpu_offload, self.reduce = reshard_after_forward, cpu_offload, reduce

    def clip(self, module: Any) -> float:
        """The norm is that of all shares. Gradients of objective terms, which each rank holds whole, are averaged."""
        parameters = list(module.trained.parameters())
        shares.average_copies(parameters)
        return shares.clip(parameters, module.gradient_clip_val)

    def whole(self, module: Any) -> dict[str, Tensor] | None:
        """One parameter at a time."""
        return shares.whole_state(module.scorer.policy.model)


class ShardedStrategy(ShardedFiles, ParallelStrategy):
    """For a strategy of Lightning whose module is sharded, and in place, when it gets it.

    A process alone is a group of one until the training ends.
    """

    restore_checkpoint_after_setup = True
    lightning_restore_optimizer = True

    def __init__(self, **options: Any) -> None:
        self._alone = not dist.is_initialized()
        if self._alone:
            backend = ranks.backend(gpu=torch.cuda.is_available())
            store = dist.HashStore()  # type: ignore[attr-defined]
            dist.init_process_group(backend, store=store, rank=0, world_size=1)
        super().__init__(**options)
        self.cluster_environment = TorchElasticEnvironment() if ranks.world() > 1 else LightningEnvironment()

    @property
    def _module(self) -> Any:
        return self.lightning_module

    def setup(self, trainer: L.Trainer) -> None:
        """What is left to do."""
        assert self.accelerator is not None
        self.accelerator.setup(trainer)
        self._module.terms.to(self.root_device)
        self.setup_optimizers(trainer)
        self.setup_precision_plugin()

    def teardown(self) -> None:
        """Leave the group of one."""
        super().teardown()
        if self._alone:
            ranks.leave()

    def held(self) -> Held:
        """Parameters, and states of the one optimizer."""
        return shares.held(self._module, self.optimizers[0])

    def take_up(self, saved: Sequence[Held]) -> None:
        """The same."""
        shares.take_up(self._module, self.optimizers[0], saved)

    def lightning_module_state_dict(self) -> dict[str, Any]:
        """What is no parameter: those are written by all ranks."""
        return dict(shares.buffers(self._module))

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        """Parameters came with `load_checkpoint`; these are the rest."""
        known = dict(shares.buffers(self._module))
        if known.keys() != checkpoint["state_dict"].keys():
            raise RunError("the checkpoint belongs to another model or objective: their buffers differ")
        for name, buffer in known.items():
            buffer.copy_(checkpoint["state_dict"][name])

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """Learning rate and the like of each group."""
        groups = optimizer.param_groups
        return {"groups": [{k: value for k, value in group.items() if k != "params"} for group in groups]}

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        """States came with `load_checkpoint`; these are the settings."""
        (saved,) = checkpoint["optimizer_states"]
        for group, known in zip(self.optimizers[0].param_groups, saved["groups"], strict=True):
            group.update(known)
