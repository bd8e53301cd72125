"""The parts that the engines of FSDP share: the update, the gathering of the trained model, and the checkpoints."""

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
    """The base of engines that spread parameters, gradients and optimizer state of the policy over the ranks.

    `reshard_after_forward`: a layer is put together once more for its backward; without, it stays whole in
    between, for less traffic and more memory. `cpu_offload`: what a rank holds is in CPU memory, and the
    optimizer works there. `reduce` says when gradients meet: after `every` micro-batch, so that a rank keeps
    its share only, or after the `last` one of a step, with less traffic and whole gradients until then.
    """

    shards = True
    offloads_every = True
    """Whether `cpu_offload` allows ranks to exchange gradients after every micro-batch."""

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
        """Clip by the norm over all ranks' shares, gradients of objective terms averaged; returns the norm before."""
        parameters = list(module.trained.parameters())
        shares.average_copies(parameters)
        return shares.clip(parameters, module.gradient_clip_val)

    def whole(self, module: Any) -> dict[str, Tensor] | None:
        """Return all weights by name on rank 0's CPU, gathered one parameter at a time; None on the other ranks."""
        return shares.whole_state(module.scorer.policy.model)


class ShardedStrategy(ShardedFiles, ParallelStrategy):
    """A base for strategies of Lightning whose module is sharded and placed before they get it.

    A process that trains alone is a group of one until the training ends.
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
        """Set up what is not done before: the terms' device, the optimizers and the precision plugin."""
        assert self.accelerator is not None
        self.accelerator.setup(trainer)
        self._module.terms.to(self.root_device)
        self.setup_optimizers(trainer)
        self.setup_precision_plugin()

    def teardown(self) -> None:
        """Tear down, and leave the process group of one if this process trained alone."""
        super().teardown()
        if self._alone:
            ranks.leave()

    def held(self) -> Held:
        """Return the shares of parameters and optimizer state that this rank holds, for a checkpoint."""
        return shares.held(self._module, self.optimizers[0])

    def take_up(self, saved: Sequence[Held]) -> None:
        """Restore parameters and optimizer state from the shares that the ranks of a checkpoint held."""
        shares.take_up(self._module, self.optimizers[0], saved)

    def lightning_module_state_dict(self) -> dict[str, Any]:
        """Return the buffers of the module; all ranks write parameters (`held`)."""
        return dict(shares.buffers(self._module))

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        """Restore the buffers of the module; `load_checkpoint` has restored the parameters.

        Raises RunError where the checkpoint has other buffers.
        """
        known = dict(shares.buffers(self._module))
        if known.keys() != checkpoint["state_dict"].keys():
            raise RunError("the checkpoint belongs to another model or objective: their buffers differ")
        for name, buffer in known.items():
            buffer.copy_(checkpoint["state_dict"][name])

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """Return the settings of each parameter group, such as its learning rate; states are in `held`."""
        groups = optimizer.param_groups
        return {"groups": [{k: value for k, value in group.items() if k != "params"} for group in groups]}

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        """Restore the settings of each parameter group; `load_checkpoint` has restored the states."""
        (saved,) = checkpoint["optimizer_states"]
        for group, known in zip(self.optimizers[0].param_groups, saved["groups"], strict=True):
            group.update(known)
