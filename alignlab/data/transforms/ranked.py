"""Cuts ranked lists to a given size."""

import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated

from alignlab.data.reading.rows import Drop
from alignlab.data.tables.lists import take
from alignlab.errors import one_of
from alignlab.settings import Seed, whole
from alignlab.types import Example

TIES = ("keep", "drop", "first")


def ranked(
    example: Example,
    *,
    k: Annotated[int, whole(2)] | None = None,
    ties: str = "keep",
    min_distinct: Annotated[int, whole(2)] = 2,
    labels: str = "keep",
    shuffle: bool = True,
    seed: Seed = 0,
) -> Iterator[Example]:
    """Cut the list to `k` responses (the best, the worst, and others drawn at random between them).

    `ties` says what becomes of equal labels: keep, drop lists that have any, or keep the first of each label.
    Lists shorter than `k`, or with fewer than `min_distinct` labels, are dropped. `labels` are
    kept, or scaled to [0, 1] within the list (minmax). `shuffle` draws the order of the list, so that a tie of
    scores (as at optimizer step 0) cannot leak the labels through the order.
    """
    one_of("pipeline.ranked.ties", ties, TIES)
    one_of("pipeline.ranked.labels", labels, ("keep", "minmax"))
    distinct = len(set(example.labels))
    if ties == "drop" and distinct < len(example.labels):
        raise Drop("two responses have the same label")
    places = [*range(len(example.labels))]
    if ties == "first":
        places = [i for i in places if example.labels.index(example.labels[i]) == i]
    draw = random.Random(f"{seed}/{example.id}")
    size = len(places) if k is None else k
    if len(places) < size:
        raise Drop(f"fewer than {size} responses" + (" of distinct labels" if ties == "first" else ""))
    if distinct < min_distinct:
        raise Drop(f"fewer than {min_distinct} distinct labels")
    order = sorted(places, key=lambda i: -example.labels[i])
    keep = [order[0], order[-1], *draw.sample(order[1:-1], size - 2)]
    result = take(example, draw.sample(keep, size) if shuffle else sorted(keep))
    if labels == "minmax":
        low, high = min(result.labels), max(result.labels)
        result = replace(result, labels=[(value - low) / (high - low) for value in result.labels])
    yield result
