"""The engine of data parallelism, in which every rank holds the whole model."""

from contextlib import AbstractContextManager, nullcontext
from typing import Annotated, Any

import lightning as L
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.pytorch.strategies import DDPStrategy, ParallelStrategy

from alignlab.settings import whole
from alignlab.training.strategies.engine import Engine


class Ddp(Engine):
    """The engine of DistributedDataParallel: ranks exchange gradients in the backward of a step's last micro-batch."""

    def __init__(
        self, *, bucket_cap_mb: Annotated[int, whole(1, 10**6)] = 25, find_unused_parameters: bool = False
    ) -> None:
        self.settings: dict[str, Any] = {
            "bucket_cap_mb": bucket_cap_mb,
            "find_unused_parameters": find_unused_parameters,
            "gradient_as_bucket_view": True,
        }

    def lightning(self, clip: float | None) -> Any:
        """Return Lightning's DDP strategy for ranks that have been started already."""
        return DDPStrategy(cluster_environment=TorchElasticEnvironment(), **self.settings)

    def micro(self, trainer: L.Trainer, *, last: bool) -> AbstractContextManager[Any]:
        """Return a context in which ranks exchange no gradients, except for the last micro-batch of a step."""
        assert isinstance(trainer.strategy, ParallelStrategy)
        return nullcontext() if last else trainer.strategy.block_backward_sync()
