"""Flips labels at random, to train with noise on purpose."""

import math
import random
from collections.abc import Iterator
from dataclasses import replace

from alignlab.data.tables.lists import flipped
from alignlab.data.transforms.margins import ends
from alignlab.errors import one_of
from alignlab.settings import PositiveNumber, Seed, Share
from alignlab.types import Example

MODELS = ("symmetric", "bradley_terry", "exponential")


def flip_noise(
    example: Example,
    *,
    model: str = "symmetric",
    rate: Share = 0.2,
    temperature: PositiveNumber = 1.0,
    swap: str = "best_worst",
    validation: bool = False,
    split: str = "train",
    seed: Seed = 0,
) -> Iterator[Example]:
    """Flip the labels of the row at random; meta["flipped"] says whether they were.

    The probability of a flip is, where gap is the raw score of the best response minus that of the worst
    (in labels where the row has no scores):

    symmetric      rate
    bradley_terry  sigmoid(-gap / temperature): the annotator who draws from the Bradley-Terry model
    exponential    rate * exp(-gap / temperature)

    With `swap` best_worst, the best and the worst response (of equals the first) exchange their labels;
    with permute, all labels of the list are shuffled into another order. The label of a lone response becomes
    1 - label, and its gap is the distance between the two. Raw scores stay: labels are what was observed.
    Validation keeps its labels unless `validation`. Equal labels are never flipped.
    """
    one_of("pipeline.flip_noise.model", model, MODELS)
    one_of("pipeline.flip_noise.swap", swap, ("best_worst", "permute"))
    draw = random.Random(f"flip_noise/{seed}/{example.id}")
    chance = rate
    if model != "symmetric":
        steps = _gap(example) / temperature
        chance = (
            1 / (1 + math.exp(min(steps, 700)))
            if model == "bradley_terry"
            else rate * math.exp(-max(steps, 0))
        )
    hit = draw.random() < chance and (split == "train" or validation)
    labels = _turned(example, swap, draw) if hit else example.labels
    if labels != example.labels:
        yield flipped(example, labels)
    else:
        yield replace(example, meta={"flipped": False, **example.meta})


def _gap(example: Example) -> float:
    labels = example.labels
    if len(labels) == 1:
        return abs(2 * labels[0] - 1)
    scores = labels if example.rewards is None else example.rewards
    best, worst = ends(example)
    return scores[best] - scores[worst]


def _turned(example: Example, swap: str, draw: random.Random) -> list[float]:
    labels = example.labels
    if len(labels) == 1:
        return [1 - labels[0]]
    if len(set(labels)) == 1:
        return labels
    if swap == "permute":
        dealt = labels
        while dealt == labels:
            dealt = draw.sample(labels, len(labels))
        return dealt
    best, worst = ends(example)
    turned = list(labels)
    turned[best], turned[worst] = labels[worst], labels[best]
    return turned
