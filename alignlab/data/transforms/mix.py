"""Mixes several sources in given shares."""

from collections.abc import Mapping

import numpy as np

from alignlab.data.steps import Selection, Tokenized
from alignlab.errors import one_of
from alignlab.settings import Seed


def mix(
    tokenized: Tokenized,
    *,
    weights: Mapping[str, float],
    by: str = "rows",
    seed: Seed = 0,
    split: str = "train",
) -> Selection:
    """Keep as many rows as the shares allow, none of them twice, in an order that the seed draws.

    `weights` are the relative shares of the parts, by the name in meta["part"]; `by` rows | tokens (each prompt
    counted once) says what they are shares of. Validation keeps all rows.
    """
    one_of("data.mix.by", by, ("rows", "tokens"))
    order = np.random.default_rng(seed).permutation(len(tokenized))
    if split != "train":
        return Selection(order.tolist())
    cost = np.ones(len(tokenized))
    if by == "tokens":
        cost = tokenized.prompt_lengths + np.array([lengths.sum() for lengths in tokenized.lengths])
    parts = np.array([example.meta["part"] for example in tokenized.examples])
    members = {name: order[parts[order] == name] for name in weights}
    most = min(cost[rows].sum() / weights[name] for name, rows in members.items())
    keep = np.zeros(len(tokenized), dtype=bool)
    for name, rows in members.items():
        keep[rows[np.cumsum(cost[rows]) <= most * weights[name] * (1 + 1e-9)]] = True
    left = {int(i): f"beyond the share of {parts[i]}" for i in np.flatnonzero(~keep)}
    return Selection(order[keep[order]].tolist(), left)
