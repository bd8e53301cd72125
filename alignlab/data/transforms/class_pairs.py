"""Makes lists of texts of one class, by their raw scores, for classifiers that learn from preferences."""

import random
from bisect import bisect
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Annotated

from alignlab.data.reading.rows import Dropped, user
from alignlab.data.steps import Makes
from alignlab.errors import ConfigError
from alignlab.settings import AnyNumber, NonNegative, Seed, Text, whole
from alignlab.types import Example


def class_pairs(
    examples: Sequence[Example],
    *,
    bounds: Sequence[AnyNumber] = (0.0,),
    margin: NonNegative = 0.0,
    size: Annotated[int, whole(2, 1000)] = 2,
    prompt: Text = "What does this say?",
    seed: Seed = 0,
) -> Annotated[Iterator[Example | Dropped], Makes("lists")]:
    """Make lists of `size` whole texts of one class, which is the number of `bounds` below their raw score.

    These are the data of P2C (arXiv:2306.04925), where raw scores stand for the votes of annotators: a label is how far
    the score is from the nearest bound, so that of two texts the one that belongs to the class more clearly is
    preferred. A text is a prompt with its one response, to the letter; `prompt` takes its place. meta["ratings"] names
    the class of each text. The rows of a class are drawn in an order of `seed`, each for one list.

    Drops rows of several responses or without a raw score, those whose score is within `margin` of a bound (or on it),
    and the last of a class, where too few for a list are left. Raises ConfigError for bounds that do not increase.
    """
    if not bounds or any(low >= high for low, high in pairwise(bounds)):
        raise ConfigError(
            f"pipeline.class_pairs.bounds={[*bounds]}: expected numbers that increase, one at least"
        )
    members: dict[int, list[tuple[Example, float]]] = defaultdict(list)
    for example in examples:
        if len(example.responses) != 1 or example.rewards is None:
            yield Dropped(example.id, "not one text with a raw score")
            continue
        score = example.rewards[0]
        distance = min(abs(score - bound) for bound in bounds)
        if distance <= margin:
            yield Dropped(example.id, "the raw score is too near a bound between classes")
            continue
        members[bisect(bounds, score)].append((example, distance))
    draw = random.Random(f"class_pairs/{seed}")
    lists = []
    for number, texts in sorted(members.items()):
        drawn = draw.sample(texts, len(texts))
        whole_lists = len(drawn) // size * size
        for example, _ in drawn[whole_lists:]:
            yield Dropped(example.id, "too few other texts of its class are left for a list")
        lists += [_list(drawn[i : i + size], number, prompt) for i in range(0, whole_lists, size)]
    yield from draw.sample(lists, len(lists))


def _list(texts: Sequence[tuple[Example, float]], number: int, prompt: str) -> Example:
    rows = [example for example, _ in texts]
    return Example(
        prompt=user(prompt),
        responses=[_text(row) for row in rows],
        labels=[distance for _, distance in texts],
        rewards=[score for row in rows for score in row.rewards or ()],
        id="+".join(row.id for row in rows),
        meta={"ratings": [{"class": float(number)} for _ in rows]},
    )


def _text(row: Example) -> str:
    """The prompt and the response, as they stood in one text."""
    (response,) = row.responses
    turns = [{"content": response}] if isinstance(response, str) else response
    return "".join(turn["content"] for turn in [*row.prompt, *turns])
