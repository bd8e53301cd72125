"""Divides rows into splits by their prompt, so that no prompt is in two splits."""

import hashlib
from collections.abc import Iterator, Sequence

from alignlab.data.reading.rows import Dropped
from alignlab.errors import ConfigError
from alignlab.settings import Seed, ShareBelowOne
from alignlab.types import Example


def split(
    examples: Sequence[Example],
    *,
    validation: ShareBelowOne = 0.05,
    test: ShareBelowOne = 0.0,
    seed: Seed = 0,
    split: str = "train",
) -> Iterator[Example]:
    """Keep the rows of the split `split`, which a hash of the first user turn and the seed decides.

    So no row changes its split when others come or go. Test rows are in neither training nor validation;
    `split="test"` keeps them alone. Where no row falls into validation, those of the prompt nearest to it do.
    Raises ConfigError unless the shares leave something to train on.
    """
    if validation + test >= 1:
        raise ConfigError(
            f"pipeline.split: validation={validation} and test={test} are shares, and leave nothing to train on"
        )
    keys = [prompt_key(example, seed) for example in examples]
    first = min(keys, default=0.0)
    alone = first >= validation and max(keys, default=first) > first
    for example, key in zip(examples, keys, strict=True):
        in_validation = key < validation or (alone and key == first)
        side = "validation" if in_validation else "test" if key >= 1 - test else "train"
        if side == split:
            yield example


def apart(examples: Sequence[Example], *, others: Sequence[Example]) -> Iterator[Example | Dropped]:
    """Drop the rows whose prompt is among those of `others`."""
    other_keys = {prompt_key(example) for example in others}
    for example in examples:
        if prompt_key(example) in other_keys:
            yield Dropped(example.id, "the prompt is in the training rows")
        else:
            yield example


def prompt_key(example: Example, seed: int = 0) -> float:
    """A hash in [0, 1) of the first user turn of a conversation, and of the seed.

    Case and white space do not count. Turns of one dialogue, or lists of one tree, have the same key.
    """
    users = [turn["content"] for turn in example.prompt if turn["role"] == "user"]
    text = " ".join((users or [turn["content"] for turn in example.prompt])[0].lower().split())
    salted = f"{seed}/{text}" if seed else text
    return int.from_bytes(hashlib.sha256(salted.encode()).digest()[:8], "big") / 2**64
