"""Ranked lists of a given size."""

import random
from collections.abc import Iterator
from dataclasses import replace

from alignlab.data.rows import Drop
from alignlab.errors import ConfigError, one_of
from alignlab.types import Example


def ranked(
    example: Example,
    *,
    k: int | None = None,
    min_distinct: int = 2,
    labels: str = "keep",
    shuffle: bool = True,
    seed: int = 0,
) -> Iterator[Example]:
    """The list cut to `k` responses (the best, the worst, and others drawn at random between them).

    Lists shorter than `k`, or with fewer than `min_distinct` labels, are dropped. `labels` keep |
    minmax (within the list, to [0, 1]). `shuffle` draws the order of the list, so that a tie of
    scores (step 0) cannot leak the labels through the order.
    """
    if k is not None and k < 2:
        raise ConfigError(f"pipeline.ranked.k={k}: a ranked list has at least 2 responses")
    if min_distinct < 2:
        raise ConfigError(
            f"pipeline.ranked.min_distinct={min_distinct}: a list of one label has no order; give 2 or more"
        )
    draw = random.Random(f"{seed}/{example.id}")
    size = len(example.labels) if k is None else k
    if len(example.labels) < size:
        raise Drop(f"fewer than {size} responses")
    if len(set(example.labels)) < min_distinct:
        raise Drop(f"fewer than {min_distinct} distinct labels")
    order = sorted(range(len(example.labels)), key=lambda i: -example.labels[i])
    keep = [order[0], order[-1], *draw.sample(order[1:-1], size - 2)]
    keep = draw.sample(keep, size) if shuffle else sorted(keep)
    values = [example.labels[i] for i in keep]
    if one_of("pipeline.ranked.labels", labels, ("keep", "minmax")) == "minmax":
        low, high = min(values), max(values)
        values = [(value - low) / (high - low) for value in values]
    yield replace(
        example,
        responses=[example.responses[i] for i in keep],
        labels=values,
        rewards=example.rewards and [example.rewards[i] for i in keep],
    )
