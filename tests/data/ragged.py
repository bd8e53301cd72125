"""Random ragged rows, made in memory: what tests of batches and policies run on."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np
from hypothesis import strategies as st

from alignlab.data.encoding.token_rows import Lists, RowIds, TokenRows
from alignlab.types import Example

Ids = list[int]
Rows = list[tuple[Ids, list[Ids]]]
"""Per list: the prompt, and its responses."""


def lists(parts: Sequence[Sequence], kind: Any = None) -> Lists:
    return Lists(np.array([x for part in parts for x in part], kind), offsets([len(part) for part in parts]))


def offsets(sizes: Sequence[int]) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


def token_rows(rows: Rows, *, rewards: bool = False) -> TokenRows:
    """Rows whose labels fall along a list: 0, -1, -2, ...; rewards are ten times the labels."""
    labels = [[-float(k) for k in range(len(responses))] for _, responses in rows]
    responses = [response for _, group in rows for response in group]
    members = Lists(np.arange(len(responses)), offsets([len(group) for _, group in rows]))
    return TokenRows(
        examples=[Example([], [], []) for _ in rows],
        places=np.arange(len(rows)),
        ids=RowIds(lists([f"row{i}".encode() for i in range(len(rows))], np.uint8)),
        prompts=lists([prompt for prompt, _ in rows]),
        responses=lists(responses),
        members=members,
        labels=lists(labels),
        rewards=lists([[10 * v for v in values] for values in labels]) if rewards else None,
        weights=1.0 + np.arange(len(rows)) / 8,
        highest=np.array([max([*prompt, *chain(*group)]) for prompt, group in rows], dtype=np.int64),
    )


def joint_rows(rows: Sequence[Sequence[tuple[Ids, Ids]]]) -> TokenRows:
    """Lists whose responses have a prompt each; a list is given as pairs of both."""
    plain = token_rows([(pairs[0][0], [response for _, response in pairs]) for pairs in rows])
    return replace(plain, own_prompts=lists([prompt for pairs in rows for prompt, _ in pairs]))


def draw(sizes: Sequence[int], *, vocabulary: int, seed: int = 0, longest: int = 6) -> Rows:
    """One list of each size, with prompts and responses of 1 to `longest` tokens."""
    random = np.random.default_rng(seed)

    def ids() -> Ids:
        return random.integers(1, vocabulary, size=random.integers(1, longest + 1)).tolist()

    return [(ids(), [ids() for _ in range(size)]) for size in sizes]


some_ids = st.lists(st.integers(0, 30), min_size=1, max_size=9)
some_rows = st.lists(st.tuples(some_ids, st.lists(some_ids, min_size=1, max_size=5)), min_size=1, max_size=12)
