"""Optimizer settings that depend on the model and the length of the run."""

import logging
import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

from alignlab.settings import Share
from alignlab.training.strategies.shares import is_spread

log = logging.getLogger(__name__)

MOVES = 0.5
"""The share of low-precision weights that a step must be able to move, or a warning says so."""

SAMPLED = 2**16
"""The number of weights of a tensor, about, by which the share of the others is judged."""


def auto_lr(parameters: int) -> float:
    """The learning rate for full fine-tuning of a model of that many parameters.

    5e-7 at 7 billion (the usual choice for preference training), growing as size ** (-1/2):
    1.3e-6 at 1 billion, 3.6e-6 at 135 million, 8.2e-5 at 260 thousand.
    """
    return 5e-7 * math.sqrt(7e9 / max(parameters, 1))


@torch.no_grad()
def movable(weights: Iterable[Tensor], step: float) -> float:
    """The share of these weights that a step of this size moves, where it is not lost to rounding in their dtype.

    A weight moves if the step is at least half of its distance to the next number: 2 ** -8 of it in bfloat16, at most.

    >>> movable([torch.tensor([1e-4, 1.0], dtype=torch.bfloat16)], 1e-4)
    0.5
    """
    moved = total = 0.0
    for weight in weights:
        local = weight.to_local() if isinstance(weight, DTensor) else weight
        some = local.detach().flatten()[:: max(1, local.numel() // SAMPLED)].float()
        exponents = torch.frexp(some).exponent - 1
        spacing = torch.ldexp(torch.full_like(some, torch.finfo(weight.dtype).eps), exponents)
        moves = (spacing <= 2 * step) | (some == 0)
        moved += local.numel() * moves.float().mean().item() if len(some) else 0
        total += local.numel()
    return moved / total if total else 1.0


def warn_of_rounding(weights: Sequence[Tensor], lr: float) -> None:
    """Warn where most of the low-precision weights are not moved by a step of the learning rate."""
    low = [weight for weight in weights if weight.is_floating_point() and weight.itemsize < 4]
    share = movable(low, lr)
    if share < MOVES:
        log.warning(
            "%s weights round off most of the training: a step of optimizer.lr=%.2g moves %.1f %% of them, and is too "
            "small for the others. Load float32 weights (model.loader.dtype=float32; trainer.precision=bf16-mixed "
            "still computes in bfloat16), train adapters, which are float32 (peft=lora), or raise optimizer.lr",
            str(low[0].dtype).removeprefix("torch."),
            lr,
            100 * share,
        )


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
