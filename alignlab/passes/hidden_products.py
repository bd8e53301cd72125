"""The inner products of summed hidden states of a list's responses, from which CHES scores are computed."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from alignlab.data.batching.batches import collate, within_budget
from alignlab.data.encoding.token_rows import Array, TokenRows
from alignlab.passes.reference import cache_key, pass_entry
from alignlab.policies.causal_lm.model import CausalLM
from alignlab.policies.causal_lm.signals import Encoder
from alignlab.types import Batch

Track = Callable[[int], None]


def hidden_sums(batch: Batch, policy: Encoder) -> Float[Tensor, "N D"]:
    """Sum, over each response, the final hidden states that predict its tokens, in float64."""
    hidden = policy.encode(batch).hidden.double()
    return torch.segment_reduce(hidden, "sum", lengths=batch.row_lengths)


def cached_products(
    policy: CausalLM, rows: TokenRows, *, cache_dir: Path, budget: int, track: Track = lambda rows: None
) -> list[Array]:
    """Return the `[K, K]` inner products of every list, from the cache or computed now.

    The key in the cache is that of a reference pass.
    """
    sizes = rows.members.lengths
    ends = np.cumsum(sizes**2)[:-1]
    place = cache_dir / "reference" / cache_key(policy, rows, ["products"])

    def compute(_: Path) -> Array:
        products = _products(policy, rows, budget, track)
        return np.concatenate([values.ravel() for values in products])

    flat = pass_entry(place, compute)
    return [part.reshape(size, size) for part, size in zip(np.split(flat, ends), sizes, strict=True)]


@torch.no_grad()
def _products(policy: CausalLM, rows: TokenRows, budget: int, track: Track) -> list[Array]:
    device = next(policy.parameters()).device
    products: list[Array] = [np.empty(0)] * len(rows)
    for group in within_budget(rows, range(len(rows)), budget, packed=policy.packed):
        batch = collate(rows, group).to(device)
        sums = batch.slotted(hidden_sums(batch, policy))
        for values, where, index in zip((sums @ sums.mT).cpu(), batch.where.cpu(), group, strict=True):
            size = int(where.sum())
            products[index] = values[:size, :size].numpy()
        track(len(group))
    return products
