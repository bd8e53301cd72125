"""MetaRM, arXiv:2401.06080: a step's gradient where the reward model tells unlabelled responses apart more."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from alignlab import ranks
from alignlab.data.batching.batches import Step
from alignlab.training.optim import trainable
from alignlab.types import Batch


@contextmanager
def moved(module: Any, step: Step, rate: float) -> Iterator[None]:
    """Move the weights by `rate` times the gradient of the mean `spread` of the step's lists of weight 0, and back.

    What is computed inside sees the moved weights; a gradient that it leaves is then applied to the old ones, so that
    the update is of first order. Steps without such a list are as they always are. All ranks call it.
    """
    weights = list(trainable(module.scorer))
    slopes = _slopes(module, step, weights)
    kept = [weight.detach().clone() for weight in weights] if slopes else []
    with torch.no_grad():
        for weight, slope in zip(weights, slopes, strict=False):
            weight.add_(slope, alpha=rate)
    try:
        yield
    finally:
        with torch.no_grad():
            for weight, before in zip(weights, kept, strict=False):
                weight.copy_(before)


def spread(values: Float[Tensor, "B K"], where: Bool[Tensor, "B K"]) -> Float[Tensor, "B"]:
    """Return 2 / k^2 times the sum over pairs i < j of sigmoid(|value_i - value_j|), for each list of k responses.

    >>> spread(torch.tensor([[1.0, 1.0]]), torch.ones(1, 2, dtype=torch.bool))
    tensor([0.2500])
    """
    pairs_BKK = (where[:, :, None] & where[:, None, :]).tril(-1)
    gaps_BKK = torch.sigmoid((values[:, :, None] - values[:, None, :]).abs()) * pairs_BKK
    return 2 * gaps_BKK.sum(dim=(1, 2)) / where.sum(dim=1).clamp(min=1).square()


def unlabelled(batch: Batch) -> Bool[Tensor, "B"]:
    """Return which lists have weight 0 and two responses or more, and so are there to be told apart alone."""
    if batch.idle:
        return torch.zeros_like(batch.weights, dtype=torch.bool)
    return (batch.weights == 0) & (batch.where.sum(dim=1) > 1)


def _slopes(module: Any, step: Step, weights: Sequence[Tensor]) -> list[Tensor]:
    """Return the gradient of the mean spread over all ranks, by weight; nothing where no list is without a label."""
    own = torch.stack([unlabelled(batch).sum() for batch in step]).sum()
    count, world, spreads = ranks.total(own), ranks.world(), module.engine.shards
    if not count:
        return []
    for number, batch in enumerate(step, start=1):
        with module.engine.micro(module.trainer, last=spreads and number == len(step)):
            values = module.signals(batch)["values"]
            total = (spread(values, batch.where) * unlabelled(batch)).sum()
            module.manual_backward(world * total / count)
    slopes = [torch.zeros_like(w) if w.grad is None else w.grad.detach().clone() for w in weights]
    for weight in weights:
        weight.grad = None
    return slopes if spreads else [ranks.total(slope) / world for slope in slopes]
