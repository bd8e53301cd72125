"""Adds the best response with its words or sentences in another order, or some exchanged, as a hard negative."""

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Annotated

from alignlab.data.encoding.chat_text import turns_of
from alignlab.data.reading.rows import Drop
from alignlab.data.steps import Lists
from alignlab.data.tables.lists import with_copies
from alignlab.data.transforms.margins import ends
from alignlab.data.transforms.swaps import attributes_swapped, relations_swapped
from alignlab.data.transforms.words import SENTENCE, WORD
from alignlab.errors import one_of
from alignlab.settings import Seed, whole
from alignlab.types import Example, Message

SHUFFLED = {"words": (WORD, 1), "trigrams": (WORD, 3), "sentences": (SENTENCE, 1)}
"""The units that are shuffled, by name: the pattern that they match, and how many of them stay together."""
EXCHANGED = {"attributes": attributes_swapped, "relations": relations_swapped}
"""The units of which two change places, by name."""
UNITS = (*SHUFFLED, *EXCHANGED)
TRIES = 32
"""The number of orders drawn for each copy; short texts have few that differ."""


def order_perturbed_negatives(
    example: Example,
    *,
    unit: str | list[str] = "words",
    copies: Annotated[int, whole(1, 100)] = 1,
    keep_others: bool = False,
    seed: Seed = 0,
) -> Lists:
    """Keep the best response, and add copies of it with the same words in another order, labelled 0.

    These are the hard negatives of NegCLIP and of ARO (arXiv:2210.01936) for text: a bag of words cannot tell them from
    the original. `unit` is what changes places within a turn: all words, trigrams (groups of three words) or sentences;
    or two words alone: attributes (the last content words of two sentences), relations (the first and the last content
    word of a sentence). What stands between them stays. Several units make a row each, `meta["unit"]` of which names
    its own. Copies differ from the original and from each other; a short response may have fewer than `copies`.
    `keep_others` keeps the other responses, with their labels. The result has no raw scores.

    Drops rows whose best response has only one order, or no label above 0.
    """
    best, _ = ends(example)
    if example.labels[best] <= 0:
        raise Drop("the best label is not above 0: no copy can rank below it")
    keep = [i for i in range(len(example.labels)) if i == best or keep_others]
    units = [unit] if isinstance(unit, str) else unit
    made = 0
    for one in units:
        one_of("pipeline.order_perturbed_negatives.unit", one, UNITS)
        key = f"order_perturbed_negatives/{seed}/{example.id}{'' if isinstance(unit, str) else f'/{one}'}"
        copied = _copies(turns_of(example.responses[best]), one, copies, random.Random(key))
        if copied:
            row = with_copies(example, keep, best, copied, [0.0] * len(copied))
            named = replace(row, id=f"{example.id}/{one}", meta={**row.meta, "unit": one})
            yield row if isinstance(unit, str) else named
            made += 1
    if not made:
        raise Drop(f"the best response has no other order of its {' or '.join(units)}")


def _copies(turns: list[Message], unit: str, count: int, draw: random.Random) -> list[list[Message]]:
    """Up to `count` copies of a response that differ from it and from each other."""
    change = _shuffles(turns, unit) if unit in SHUFFLED else _exchanges(turns, unit)
    copies: list[list[Message]] = []
    for _ in range(TRIES * count):
        copy = [*change(draw)]
        if copy != turns and copy not in copies:
            copies.append(copy)
        if len(copies) == count:
            break
    return copies


def _exchanges(turns: list[Message], unit: str) -> Callable[[random.Random], Iterator[Message]]:
    swapped = EXCHANGED[unit]
    return lambda draw: (
        {**turn, "content": swapped(turn["content"], draw)} if turn["role"] == "assistant" else turn
        for turn in turns
    )


def _shuffles(turns: list[Message], unit: str) -> Callable[[random.Random], Iterator[Message]]:
    pattern, together = SHUFFLED[unit]
    cut = [_cut(turn, pattern, together) for turn in turns]
    return lambda draw: (_shuffled(turn, *parts, draw) for turn, parts in zip(turns, cut, strict=True))


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
