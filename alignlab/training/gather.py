"""Statistics of a step over all micro-batches of all ranks."""

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor

from alignlab.objectives.gather import Gathered, join


def across_ranks(parts: Sequence[Gathered]) -> list[Gathered]:
    """The rows of all ranks' micro-batches, in rank order, seen from each micro-batch of this rank.

    Every rank must call it, with at least one micro-batch each; the number of rows may differ.
    """
    views = join(parts)
    if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
        return views
    whole = views[0]
    sizes: list[int | None] = [None] * dist.get_world_size()
    dist.all_gather_object(sizes, len(whole.rows))
    counts = [size or 0 for size in sizes]
    rows, weights = _gathered(whole.rows, counts), _gathered(whole.weights, counts)
    before = sum(counts[: dist.get_rank()])
    return [Gathered(rows, weights, before + view.start) for view in views]


def _gathered(values: Tensor, counts: Sequence[int]) -> Tensor:
    """Rows of all ranks, of which each has its own number."""
    padded = torch.cat([values, values.new_zeros(max(counts) - len(values), *values.shape[1:])])
    received = [torch.empty_like(padded) for _ in counts]
    dist.all_gather(received, padded)
    return torch.cat([part[:count] for part, count in zip(received, counts, strict=True)])
