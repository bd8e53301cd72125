"""The scores of a reward, preference or user model: one pass over the rows, kept on disk by each list's content."""

import hashlib
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from alignlab.data.batching.batches import Extras, collate
from alignlab.data.encoding.token_rows import KEY, TokenRows
from alignlab.errors import ConfigError
from alignlab.passes.by_list import Track, by_list
from alignlab.passes.store import Array
from alignlab.policies.policy import NO_REFERENCES, Policy

SCORES = ("values", "preferences")
"""The signals of policies that score responses with a head of their own: a number a response, or one for every two."""


def score_of(policy: Policy) -> str:
    """Return which of `SCORES` a policy gives; an empty text for a language model."""
    return next((name for name in SCORES if name in policy.provides), "")


def cached_scores(
    policy: Policy, rows: TokenRows, *, cache_dir: Path, track: Track = lambda rows: None
) -> list[Array]:
    """Return the scores of every list in float64, `[K]` of values or `[K, K]` of preferences, from the cache or now.

    Each list is scored alone, and kept as `by_list` says, under its user too where the policy reads users. Raises
    RunError where a response gets no finite score, ConfigError for a language model.
    """
    if not (name := score_of(policy)):
        raise ConfigError(f"{type(policy).__name__} gives no scores of its own: it is no reward model")
    power = 1 + (name == "preferences")
    sizes = rows.members.lengths**power
    score = partial(_scores, policy, rows, name)
    keyed = _by_user(rows) if policy.reads_users else rows
    values, _ = by_list(policy, keyed, [name], sizes, score, cache_dir=cache_dir, track=track)
    lists = np.split(values, np.cumsum(sizes)[:-1])
    return [
        vector.reshape([int(size)] * power) for vector, size in zip(lists, rows.members.lengths, strict=True)
    ]


def _by_user(rows: TokenRows) -> TokenRows:
    """Return the rows with keys that hold their users, whose scores of the same tokens differ."""
    keys = [
        hashlib.sha256(bytes(key) + rows.user(index).encode()).digest() for index, key in enumerate(rows.keys)
    ]
    return replace(rows, stored_keys=np.array(keys, dtype=KEY))


def _scores(policy: Policy, rows: TokenRows, name: str, index: int) -> Array:
    """Return the scores of one list, of its first response first."""
    batch = collate(rows, [index], Extras(users=policy.reads_users))
    signals = policy.signals(batch.to(next(policy.parameters()).device), NO_REFERENCES, {name})
    values: Array = signals[name][0].double().cpu().numpy().reshape(-1)
    return values
