"""A second embedded world: sums that are worked out in a few steps, with exact answers, split by a hash of the sum."""

import hashlib
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Annotated

from alignlab.errors import ConfigError, nearest
from alignlab.lab.writers import SPLITS
from alignlab.settings import Seed, Share, whole
from alignlab.types import Example

LARGEST = 9
"""The largest number of a sum; the smallest is 1."""


@dataclass(frozen=True)
class Outcome:
    """What a solution is worth: `reward` is 1 or -1, `solved` 1 or 0, `steps` the share of steps that are right."""

    reward: float
    solved: float
    steps: float


def examples(
    *,
    split: str,
    size: int,
    seed: Seed = 0,
    terms: Annotated[int, whole(2, 8)] = 4,
    responses: Annotated[int, whole(2, 16)] = 2,
    noise: Share = 0.5,
) -> Iterator[Example]:
    """Generate `size` sums of `terms` numbers, each with its solution and distinct wrong ones.

    The right solution has label and reward 1, a wrong one 0; each step of a wrong one is wrong with probability
    `noise`. Row i depends on (seed, split, i) and the settings alone. Raises ConfigError for a split that is none.
    """
    if split not in SPLITS:
        raise ConfigError(f"the world of sums has no split '{split}': {nearest(split, SPLITS)}")
    for number in range(size):
        rng = random.Random(f"sums/{split}/{seed}/{number}")
        numbers = draw(rng, terms, split)
        texts = [worked(rng, numbers, 0.0)]
        while len(texts) < responses:
            text = worked(rng, numbers, max(noise, 0.05))
            if text not in texts and not outcome(asked(numbers), text).solved:
                texts.append(text)
        values = [1.0, *[0.0] * (responses - 1)]
        turns = [{"role": "user", "content": asked(numbers)}]
        yield Example(turns, [*texts], values, [*values], id=f"sums-{split}-{number:06d}")


def draw(rng: random.Random, terms: int, split: str) -> list[int]:
    """Return the numbers of a sum of a split."""
    for _ in count():
        numbers = [rng.randint(1, LARGEST) for _ in range(terms)]
        if hashlib.sha256(asked(numbers).encode()).digest()[0] % 10 in SPLITS[split]:
            return numbers
    raise AssertionError


def asked(numbers: Sequence[int]) -> str:
    """Return the prompt of a sum.

    >>> asked([3, 4, 5])
    '3+4+5='
    """
    return "+".join(map(str, numbers)) + "="


def worked(rng: random.Random, numbers: Sequence[int], noise: float) -> str:
    """Return a solution in steps, each of which is one too large or too small with probability `noise`.

    >>> worked(random.Random(0), [3, 4, 5], 0.0)
    '3+4=7;7+5=12'
    """
    steps, total = [], numbers[0]
    for number in numbers[1:]:
        before, total = total, total + number + (rng.choice((-1, 1)) if rng.random() < noise else 0)
        steps.append(f"{before}+{number}={total}")
    return ";".join(steps)


def outcome(prompt: str, response: str) -> Outcome:
    """Return what a response is worth: whether the last number that it comes to is the sum.

    >>> outcome("3+4+5=", "3+4=7;7+5=12")
    Outcome(reward=1.0, solved=1.0, steps=1.0)
    """
    numbers = [int(text) for text in re.findall(r"\d+", prompt)]
    steps = [re.fullmatch(r"(\d+)\+(\d+)=(\d+)", step) for step in response.split(";")]
    sums = [tuple(map(int, step.groups())) for step in steps if step]
    solved = float(bool(steps[-1]) and bool(sums) and sums[-1][2] == sum(numbers))
    right = sum(first + second == third for first, second, third in sums)
    return Outcome(2 * solved - 1, solved, right / len(steps))
