"""Makes pairs whose preference depends on a criterion that the prompt states, and reverses with it."""

import random
from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations, permutations
from math import nan
from typing import Annotated, Any

from alignlab.data.reading.rows import Drop
from alignlab.data.steps import Pairs
from alignlab.data.tables.lists import per_response, take
from alignlab.data.transforms.instructions import FORMS, with_instruction
from alignlab.errors import ConfigError, one_of
from alignlab.settings import Seed, whole
from alignlab.types import Example

TEMPLATE = "Judge responses by this alone: {criterion}."


def context_pairs(
    example: Example,
    *,
    criteria: Mapping[str, str] | None = None,
    template: str = TEMPLATE,
    form: str = "system",
    pairs: Annotated[int, whole(1, 1000)] = 1,
    seed: Seed = 0,
) -> Pairs:
    """Make two rows of two responses and two criteria that prefer opposite ones: data for context-aware preferences.

    Without its criterion the preference is open, so that a model which does not read it ranks half of these rows
    rightly (arXiv:2407.14916). A criterion is an aspect of meta["ratings"], larger being better, or smaller where `-`
    stands before its name; `criteria` gives each the words by which `template` states it in the prompt, and null is
    every rated aspect, by its own name. `form`: system, user or auto, as for reward_augmented. `pairs` is the most
    of pairs of responses of a list, drawn at random, each with two of its opposite criteria. The rows have labels 1 and
    0; meta["context"] names the criterion, and meta["pair"] what both rows share. Rows that have both in meta already
    stay as they are.

    Drops lists of one response, without ratings, and those in which no two criteria prefer opposite responses.
    """
    one_of("pipeline.context_pairs.form", form, FORMS)
    if "{criterion}" not in template:
        raise ConfigError("pipeline.context_pairs.template: it never says {criterion}")
    if {"context", "pair"} <= example.meta.keys():
        yield example
        return
    ratings = _ratings(example)
    words = criteria or {name: name for name in ratings[0]}
    if not any(name.removeprefix("-") in ratings[0] for name in words):
        raise Drop(f"no rating of {', '.join(words)}: the row has {', '.join(ratings[0])}")
    draw = random.Random(f"context_pairs/{seed}/{example.id}")
    found = [
        (pair, sides)
        for pair in combinations(range(len(ratings)), 2)
        if (sides := _opposite(ratings, pair, words))
    ]
    if not found:
        raise Drop("no two criteria prefer opposite responses")
    for (i, j), sides in draw.sample(found, min(pairs, len(found))):
        first, second = draw.choice(sides)
        for criterion, order in ((first, (i, j)), (second, (j, i))):
            yield _row(
                example, order, criterion, template.format(criterion=words[criterion]), form, f"{i}-{j}"
            )


def _ratings(example: Example) -> list[Mapping[str, Any]]:
    """The ratings of each response by aspect; Drop without."""
    if len(example.responses) < 2:
        raise Drop("one response alone, of which no two can be compared")
    ratings = per_response(example, "ratings")
    if ratings is None or not all(isinstance(one, Mapping) and one for one in ratings):
        raise Drop('no ratings by aspect in meta["ratings"]')
    return ratings


def _opposite(
    ratings: list[Mapping[str, Any]], pair: tuple[int, int], criteria: Mapping[str, str]
) -> list[tuple[str, str]]:
    """The criteria by two, of which the first prefers the first response of a pair, and the second the other one."""
    signs = {name: _preferred(name, *(ratings[place] for place in pair)) for name in criteria}
    return [(a, b) for a, b in permutations(criteria, 2) if signs[a] > 0 > signs[b]]


def _preferred(criterion: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> int:
    """Above 0 where a criterion prefers the one response, below 0 for the other; 0 where it cannot tell."""
    aspect = criterion.removeprefix("-")
    a, b = (_number(ratings.get(aspect)) for ratings in (one, other))
    return ((a > b) - (a < b)) * (-1 if criterion.startswith("-") else 1)


def _number(rating: Any) -> float:
    """A rating as a number; NaN, which is neither more nor less than any, where it is none."""
    return float(rating) if isinstance(rating, (int, float)) else nan


def _row(
    example: Example, order: tuple[int, int], criterion: str, text: str, form: str, pair: str
) -> Example:
    row = take(example, order)
    name = f"{example.id}/{pair}"
    meta = {**row.meta, "context": criterion, "pair": name}
    if (prompts := per_response(row, "prompts")) is not None:
        meta["prompts"] = [with_instruction(prompt, form, text) for prompt in prompts]
    prompt = with_instruction(row.prompt, form, text)
    return replace(row, prompt=prompt, labels=[1.0, 0.0], rewards=None, id=f"{name}/{criterion}", meta=meta)
