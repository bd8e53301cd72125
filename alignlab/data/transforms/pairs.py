"""Makes pairs from rated lists."""

import random
from dataclasses import replace

from alignlab.data.reading.rows import Drop
from alignlab.data.steps import Pairs
from alignlab.data.tables.lists import take
from alignlab.errors import one_of
from alignlab.settings import Seed
from alignlab.types import Example

CHOICES = ("best_worst", "best_random", "best_rest", "adjacent", "all", "max_margin")


def pairs(example: Example, *, choose: str = "best_worst", seed: Seed = 0) -> Pairs:
    """Make an example of each pair that `choose` picks, the better response first; equal labels make no pair.

    `best_random` is Zephyr's choice (arXiv:2310.16944): the best against a random worse one.
    `max_margin` is the pair of the largest gap between raw scores, or between labels where the row has
    no scores; the label still says which of the two is better. The first of equals counts.
    """
    order = sorted(range(len(example.labels)), key=lambda i: -example.labels[i])
    for better, worse in _chosen(order, example, one_of("pipeline.pairs.choose", choose, CHOICES), seed):
        yield replace(take(example, [better, worse]), id=f"{example.id}/{better}>{worse}")


def _chosen(order: list[int], example: Example, choose: str, seed: int) -> list[tuple[int, int]]:
    labels = example.labels
    ordered = [(i, j) for a, i in enumerate(order) for j in order[a + 1 :] if labels[i] > labels[j]]
    if not ordered:
        raise Drop("all responses have the same label")
    best = order[0]
    below = [j for i, j in ordered if i == best]
    if choose == "best_worst":
        return [(best, min(below, key=lambda j: labels[j]))]
    if choose == "best_random":
        return [(best, random.Random(f"{seed}/{example.id}").choice(below))]
    if choose == "best_rest":
        return [(best, j) for j in below]
    if choose == "adjacent":
        between = {(i, j): any(labels[i] > v > labels[j] for v in labels) for i, j in ordered}
        return [pair for pair in ordered if not between[pair]]
    if choose == "max_margin":
        scores = labels if example.rewards is None else example.rewards
        return [max(sorted(ordered), key=lambda pair: scores[pair[0]] - scores[pair[1]])]
    return ordered
