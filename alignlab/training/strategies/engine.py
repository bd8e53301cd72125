"""What a strategy has to know how to do; this one knows a single device."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn


class Engine:
    """One device. Others say what they do differently.

    The loss of a micro-batch is its rank's share of the loss of the global batch, times the number of
    ranks: engines average gradients over ranks.
    """

    shards = False
    """Whether no rank holds all weights; the trained model is then gathered in the end."""
    probes = True
    """Whether a backward before the first step leaves nothing behind once the gradients are cleared."""

    def lightning(self, clip: float | None) -> Any:
        """The strategy that Lightning's trainer takes; `clip` is the largest norm of a step's gradient."""
        return "auto"

    def place(self, scorer: nn.Module, device: torch.device, precision: str) -> nn.Module:
        """The policy where it trains, before its optimizer is made."""
        return scorer.to(device)

    def micro(self, trainer: L.Trainer, *, last: bool) -> AbstractContextManager[Any]:
        """Around forward and backward of a micro-batch: gradients meet at the last one of a step."""
        return nullcontext()

    def clip(self, module: Any) -> float:
        """Bring the gradient to the norm that is allowed; its norm before."""
        largest = module.gradient_clip_val or float("inf")
        return torch.nn.utils.clip_grad_norm_(module.trained.parameters(), largest).item()

    def update(self, module: Any, passes: Callable[[float], bool]) -> float:
        """Clip, and move the weights unless the step does not pass; the norm of the gradient before."""
        norm, optimizer = self.clip(module), module.optimizers()
        if not passes(norm):
            optimizer.zero_grad()  # without gradients it moves nothing
        optimizer.step()
        optimizer.zero_grad()
        return norm

    def whole(self, module: Any) -> dict[str, Tensor] | None:
        """Rank 0: all weights of the trained model by name, on the CPU. Only where this engine shards."""
        return None
