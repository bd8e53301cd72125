"""Keeps the first rows, or some drawn at random."""

import random
from collections.abc import Iterator, Sequence

from alignlab.data.reading.rows import Dropped
from alignlab.errors import ConfigError
from alignlab.settings import Positive, Seed
from alignlab.types import Example


def limit(
    examples: Sequence[Example],
    *,
    rows: Positive = 1000,
    validation_rows: Positive | None = None,
    choose: str = "first",
    seed: Seed = 0,
    split: str = "train",
) -> Iterator[Example | Dropped]:
    """Keep at most `rows` training rows, in their order; `choose` first | random. None keeps all.

    Unlike data.limit, this step may stand anywhere in the pipeline, as before a step that costs much.
    """
    most = rows if split == "train" else validation_rows
    if choose not in ("first", "random"):
        raise ConfigError(f"pipeline.limit.choose={choose}: expected first or random")
    count = len(examples)
    size = count if most is None else min(most, count)
    places = set(random.Random(seed).sample(range(count), size)) if choose == "random" else range(size)
    for number, example in enumerate(examples):
        yield example if number in places else Dropped(example.id, f"beyond the limit of {most}")
