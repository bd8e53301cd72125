"""Which split a row belongs to: by its prompt, so that none is on both sides."""

import hashlib
from collections.abc import Iterator, Sequence

from alignlab.data.reading.rows import Dropped
from alignlab.errors import ConfigError
from alignlab.types import Example


def split(
    examples: Sequence[Example],
    *,
    validation: float = 0.05,
    test: float = 0.0,
    seed: int = 0,
    split: str = "train",
) -> Iterator[Example]:
    """The rows of one side. A hash of the first turn and the seed decides, so that no row moves when others come or go.

    Rows for the test are on neither side; `split="test"` gives them. Where nothing falls to
    validation, the prompt nearest to it goes there. Raises ConfigError unless the shares leave
    something to train on.
    """
    if min(validation, test) < 0 or validation + test >= 1:
        raise ConfigError(
            f"pipeline.split: validation={validation} and test={test} are shares, and leave nothing to train on"
            if validation + test >= 1
            else f"pipeline.split: validation={validation}, test={test}: a share is at least 0"
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
    """The rows whose prompt is not among those of `others`."""
    known = {prompt_key(example) for example in others}
    for example in examples:
        if prompt_key(example) in known:
            yield Dropped(example.id, "the prompt is in the training rows")
        else:
            yield example


def prompt_key(example: Example, seed: int = 0) -> float:
    """A number in [0, 1), the same for conversations that begin alike: with one first turn of the user.

    Case and white space do not count. So turns of one dialogue, or lists of one tree, stay together.
    """
    users = [turn["content"] for turn in example.prompt if turn["role"] == "user"]
    text = " ".join((users or [turn["content"] for turn in example.prompt])[0].lower().split())
    salted = f"{seed}/{text}" if seed else text
    return int.from_bytes(hashlib.sha256(salted.encode()).digest()[:8], "big") / 2**64
