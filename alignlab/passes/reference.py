"""The scores of a frozen reference: one pass over the rows, kept on disk by the content of each list."""

import logging
from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch

from alignlab.data.batching.batches import collate
from alignlab.data.encoding.token_rows import TokenRows
from alignlab.errors import ConfigError, one_of
from alignlab.passes.by_list import Track, by_list
from alignlab.passes.store import Array
from alignlab.policies.causal_lm.signals import relative_entropy
from alignlab.policies.policy import NO_REFERENCES, Policy
from alignlab.signals import BASE

log = logging.getLogger(__name__)


def cached_signals(
    policy: Policy,
    rows: TokenRows,
    names: Collection[str],
    *,
    cache_dir: Path,
    track: Track = lambda rows: None,
) -> dict[str, Array]:
    """Return the signals of every response with `policy` as the reference, in float64, from the cache or computed now.

    What is kept is kept by list, as `by_list` says: rows of another order or selection reuse it. Ranks share the rows,
    and all must call this. Raises RunError where a response gets no finite score, ConfigError for a policy that does
    not give such signals.
    """
    for name in names:
        one_of("reference.signals", name, [name for name, signal in BASE.items() if signal.own])
        if BASE[name].own not in policy.provides:
            raise ConfigError(
                f"{name} needs a policy that gives {BASE[name].own}, and {type(policy).__name__} gives "
                f"{', '.join(sorted(policy.provides))} alone: use policy=causal_lm, or leave out what asks for it"
            )
    names = sorted(names)
    sizes = rows.members.lengths * len(names)
    values, in_cache = by_list(
        policy, rows, names, sizes, partial(_signals, policy, rows, names), cache_dir=cache_dir, track=track
    )
    if in_cache:
        log.info("%s: %d of %d lists from the cache", ", ".join(names), in_cache, len(rows))
    scores = np.full((len(rows.responses), len(names)), np.nan)
    scores[np.concatenate([rows.members[index] for index in range(len(rows))])] = values.reshape(
        -1, len(names)
    )
    return {name: scores[:, place] for place, name in enumerate(names)}


def _signals(policy: Policy, rows: TokenRows, names: Sequence[str], index: int) -> Array:
    """Return the signals of one list, of its first response first."""
    batch = collate(rows, [index]).to(next(policy.parameters()).device)
    own = policy.signals(batch, NO_REFERENCES, {BASE[name].own for name in names})
    if "entropy" in own:
        vocabulary = policy.model.config.get_text_config().vocab_size
        own["entropy"] = relative_entropy(own["entropy"], own["lengths"], vocabulary)
    signals_K = [own[BASE[name].own][0].double() for name in names]
    flat: Array = torch.stack(signals_K, dim=-1).flatten().cpu().numpy()
    return flat
