"""A lack of memory is found out before the first step where it can be, and told with the way out."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import lightning as L
import torch

from alignlab.errors import RunError
from alignlab.training.module import PreferenceModule
from alignlab.types import Batch


@contextmanager
def memory_told(budget: int) -> Iterator[None]:
    """Turn an out-of-memory error into a RunError that names the setting to lower."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise RunError(
            f"out of GPU memory with data.microbatch_tokens={budget}: lower it (the optimizer step stays the same, "
            "in more micro-batches), or shorten data.max_length"
        ) from error


class MemoryProbe(L.Callback):
    """Runs forward and backward over the largest micro-batch before the first step, on a GPU."""

    def __init__(self, largest: Batch, budget: int) -> None:
        self.largest, self.budget = largest, budget

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Run the largest micro-batch on a GPU, where the engine leaves nothing behind that cannot be cleared."""
        assert isinstance(module, PreferenceModule)
        if module.device.type == "cuda" and module.engine.probes:
            self.run(trainer, module)

    def run(self, trainer: L.Trainer, module: PreferenceModule) -> None:
        """Forward and backward, with the gradients cleared. Raises RunError where the micro-batch does not fit."""
        with memory_told(self.budget), trainer.precision_plugin.train_step_context():
            signals: dict[str, Any] = module.signals(self.largest.to(module.device))
            brought = module.objective.contribute(**signals)
            torch.autograd.backward(module.objective(**signals, gathered=brought).loss)
        module.zero_grad(set_to_none=True)
