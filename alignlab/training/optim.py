"""Optimizer settings that depend on the model and the length of the run."""

import math
from collections.abc import Iterable
from typing import Any

from torch import nn
from torch.optim import Optimizer

from alignlab.settings import Share
from alignlab.training.strategies.shares import is_spread


def auto_lr(parameters: int) -> float:
    """The learning rate for full fine-tuning of a model of that many parameters.

    5e-7 at 7 billion (the usual choice for preference training), growing as size ** (-1/2):
    1.3e-6 at 1 billion, 3.6e-6 at 135 million, 8.2e-5 at 260 thousand.
    """
    return 5e-7 * math.sqrt(7e9 / max(parameters, 1))


def trainable(model: nn.Module) -> Iterable[nn.Parameter]:
    """The parameters of a model that learn."""
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def groups(model: nn.Module) -> list[dict[str, Any]]:
    """Parameter groups for an optimizer; those spread over ranks apart, as its kernels take no mixture."""
    parts = [[p for p in trainable(model) if is_spread(p) == spread] for spread in (True, False)]
    return [{"params": part} for part in parts if part]


def schedule(optimizer: Optimizer, *, name: str, warmup_ratio: Share, steps: int) -> Any:
    """A transformers schedule (linear, cosine, constant_with_warmup, ...) over `steps` steps."""
    from transformers import get_scheduler

    return get_scheduler(
        name, optimizer, num_warmup_steps=round(warmup_ratio * steps), num_training_steps=steps
    )
