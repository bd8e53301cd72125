"""The place at which the models of a stage compute: a device, and a precision."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import lightning as L
import torch
from torch import nn


@dataclass(frozen=True)
class Place:
    """Where the models of a stage compute, and how: device, precision of the weights, autocast."""

    device: torch.device
    convert: Callable[[nn.Module], Any] = lambda module: module
    """Bring a model's weights to the precision of the training."""
    autocast: Callable[[], AbstractContextManager[Any]] = nullcontext
    spreads: bool = False
    """Whether the policy waits on the CPU, because its engine spreads its weights over the ranks later."""

    @classmethod
    def of(cls, trainer: L.Trainer, *, spreads: bool) -> "Place":
        """The place that a Lightning trainer trains at."""
        precision = trainer.precision_plugin
        return cls(trainer.strategy.root_device, precision.convert_module, precision.forward_context, spreads)


CPU = Place(torch.device("cpu"))
