"""Adds the best response with its words or sentences in another order, as a hard negative."""

import random
import re
from typing import Annotated

from alignlab.data.encoding.chat_text import turns_of
from alignlab.data.reading.rows import Drop
from alignlab.data.steps import Lists
from alignlab.data.tables.lists import with_copies
from alignlab.data.transforms.margins import ends
from alignlab.data.transforms.words import SENTENCE, WORD
from alignlab.errors import one_of
from alignlab.settings import Seed, whole
from alignlab.types import Example, Message

UNITS = {"words": (WORD, 1), "trigrams": (WORD, 3), "sentences": (SENTENCE, 1)}
"""The units that are moved, by name: the pattern that they match, and how many of them stay together."""
TRIES = 32
"""The number of orders drawn for each copy; short texts have few that differ."""


def order_perturbed_negatives(
    example: Example,
    *,
    unit: str = "words",
    copies: Annotated[int, whole(1, 100)] = 1,
    keep_others: bool = False,
    seed: Seed = 0,
) -> Lists:
    """Keep the best response, and add copies of it with the same words in another order, labelled 0.

    These are the hard negatives of NegCLIP (arXiv:2210.01936) for text: a bag of words cannot tell them from the
    original. `unit` is what changes places within a turn: words, trigrams (groups of
    three words) or sentences; what stands between them stays. Copies differ from the original and from
    each other; a short response may have fewer than `copies`. `keep_others` keeps the other responses,
    with their labels. The result has no raw scores.

    Drops rows whose best response has only one order, or no label above 0.
    """
    pattern, together = UNITS[one_of("pipeline.order_perturbed_negatives.unit", unit, UNITS)]
    best, _ = ends(example)
    if example.labels[best] <= 0:
        raise Drop("the best label is not above 0: no copy can rank below it")
    turns = turns_of(example.responses[best])
    cut = [_cut(turn, pattern, together) for turn in turns]
    draw = random.Random(f"order_perturbed_negatives/{seed}/{example.id}")
    reordered: list[list[Message]] = []
    for _ in range(TRIES * copies):
        copy = [_shuffled(turn, *parts, draw) for turn, parts in zip(turns, cut, strict=True)]
        if copy != turns and copy not in reordered:
            reordered.append(copy)
        if len(reordered) == copies:
            break
    if not reordered:
        raise Drop(f"the best response has no other order of its {unit}")
    keep = [i for i in range(len(example.labels)) if i == best or keep_others]
    yield with_copies(example, keep, best, reordered, [0.0] * len(reordered))


def _cut(turn: Message, pattern: re.Pattern[str], together: int) -> tuple[list[list[str]], list[str]]:
    """The groups of units that change places, and the texts before, between and after the units."""
    if turn["role"] != "assistant":
        return [], [turn["content"]]
    units = pattern.findall(turn["content"])
    groups = [units[i : i + together] for i in range(0, len(units), together)]
    return groups, pattern.split(turn["content"])


def _shuffled(turn: Message, groups: list[list[str]], between: list[str], draw: random.Random) -> Message:
    units = [unit for group in draw.sample(groups, len(groups)) for unit in group]
    pieces = [piece for pair in zip(between, [*units, ""], strict=True) for piece in pair]
    return {**turn, "content": "".join(pieces)}
