"""The interface of an engine, by which a strategy trains, and the engine of a single device."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn


class Engine:
    """The engine of a single device, and the interface of all engines: others override what they do differently.

    The loss of a micro-batch is its rank's share of the loss of the global batch, times the number of
    ranks: engines average gradients over ranks.
    """

    shards = False
    """Whether no rank holds all weights, so that the trained model has to be gathered at the end (`whole`)."""
    probes = True
    """Whether a trial backward before the first step leaves nothing behind once the gradients are cleared."""

    keeps_float32 = False
    """Whether the optimizer moves float32 copies of weights of a lower precision."""

    def lightning(self, clip: float | None) -> Any:
        """Return the strategy for Lightning's trainer; `clip` is the largest norm of a step's gradient."""
        return "auto"

    def place(self, scorer: nn.Module, device: torch.device, precision: str) -> nn.Module:
        """Put the scorer where it trains, before its optimizer is made, and return it as it is called from then on."""
        return scorer.to(device)

    def micro(self, trainer: L.Trainer, *, last: bool) -> AbstractContextManager[Any]:
        """Return the context of forward and backward of a micro-batch; ranks exchange gradients at the `last` one."""
        return nullcontext()

    def clip(self, module: Any) -> float:
        """Scale the gradient down to the largest norm allowed; returns its norm before."""
        largest = module.gradient_clip_val or float("inf")
        return torch.nn.utils.clip_grad_norm_(module.trained.parameters(), largest).item()

    def update(self, module: Any, passes: Callable[[float], bool]) -> float:
        """Clip and move the weights, unless `passes(norm)` refuses; returns the gradient's norm before clipping."""
        norm, optimizer = self.clip(module), module.optimizers()
        if not passes(norm):
            optimizer.zero_grad()  # without gradients it moves nothing
        optimizer.step()
        optimizer.zero_grad()
        return norm

    def whole(self, module: Any) -> dict[str, Tensor] | None:
        """Return a sharded trained model's weights by name on rank 0's CPU; None if this engine does not shard."""
        return None
