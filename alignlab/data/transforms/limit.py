"""Keeps some of the rows: drawn by a hash of their ids, or the first."""

import heapq
from collections.abc import Iterator, Sequence

from alignlab.data.reading.rows import Dropped
from alignlab.data.transforms.order_by import draw
from alignlab.errors import one_of
from alignlab.settings import Positive, Seed
from alignlab.types import Example

CHOICES = ("random", "first")


def limit(
    examples: Sequence[Example],
    *,
    rows: Positive | None = 1000,
    validation_rows: Positive | None = None,
    choose: str = "random",
    seed: Seed = 0,
    split: str = "train",
) -> Iterator[Example | Dropped]:
    """Keep at most `rows` training rows, in their order; `choose` random | first. None keeps all.

    Unlike data.limit, this step may stand anywhere in the pipeline, as before a step that costs much.
    """
    most = rows if split == "train" else validation_rows
    one_of("pipeline.limit.choose", choose, CHOICES)
    places = set(kept([example.id for example in examples], most, choose=choose, seed=seed))
    for number, example in enumerate(examples):
        yield example if number in places else Dropped(example.id, f"beyond the limit of {most}")


def kept(ids: Sequence[str], most: int | None, *, choose: str = "random", seed: int = 0) -> Sequence[int]:
    """The places of the rows that a limit of `most` keeps, in their order: drawn at random, or the first.

    The draw goes by a hash of the seed and of each row's id: it does not depend on the order of the rows, nor on
    who draws, and favours no part of them, such as the rows that a step put last.

    >>> kept(["a", "b", "c", "d"], 2), kept(["d", "c", "b", "a"], 2)
    ([0, 2], [1, 3])
    """
    if most is None or most >= len(ids):
        return range(len(ids))
    if choose == "first":
        return range(most)
    return sorted(heapq.nsmallest(most, range(len(ids)), key=lambda row: draw(seed, f"limit/{ids[row]}")))
