"""The inner products of summed hidden states of a list's responses, from which CHES scores are computed."""

from functools import partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from alignlab.data.batching.batches import collate
from alignlab.data.encoding.token_rows import TokenRows
from alignlab.passes.by_list import Track, by_list
from alignlab.passes.store import Array
from alignlab.policies.causal_lm.model import CausalLM
from alignlab.policies.causal_lm.signals import Encoder
from alignlab.types import Batch


def hidden_sums(batch: Batch, policy: Encoder) -> Float[Tensor, "N D"]:
    """Sum, over each response, the final hidden states that predict its tokens, in float64."""
    hidden = policy.encode(batch).hidden.double()
    return torch.segment_reduce(hidden, "sum", lengths=batch.row_lengths)


def cached_products(
    policy: CausalLM, rows: TokenRows, *, cache_dir: Path, track: Track = lambda rows: None
) -> list[Array]:
    """Return the `[K, K]` inner products of every list, from the cache or computed now, as `by_list` does."""
    sizes = rows.members.lengths
    values, _ = by_list(
        policy,
        rows,
        ["products"],
        sizes**2,
        partial(_products, policy, rows),
        cache_dir=cache_dir,
        track=track,
    )
    parts = np.split(values, np.cumsum(sizes**2)[:-1])
    return [part.reshape(size, size) for part, size in zip(parts, sizes, strict=True)]


def _products(policy: CausalLM, rows: TokenRows, index: int) -> Array:
    """Return the inner products of one list, row by row."""
    batch = collate(rows, [index]).to(next(policy.parameters()).device)
    sums = batch.slotted(hidden_sums(batch, policy))[0]
    flat: Array = (sums @ sums.mT).flatten().cpu().numpy()
    return flat
