"""Pairs from rated lists."""

import random
from collections.abc import Iterator
from dataclasses import replace

from alignlab.data.rows import Drop
from alignlab.errors import one_of
from alignlab.types import Example

CHOICES = ("best_worst", "best_random", "best_rest", "adjacent", "all")


def pairs(example: Example, *, choose: str = "best_worst", seed: int = 0) -> Iterator[Example]:
    """One example a chosen pair, the better response first; equal labels never make a pair.

    `best_random` is Zephyr's choice (arXiv:2310.16944): the best against a random worse one.
    """
    order = sorted(range(len(example.labels)), key=lambda i: -example.labels[i])
    for better, worse in _chosen(order, example, one_of("pipeline.pairs.choose", choose, CHOICES), seed):
        yield replace(
            example,
            id=f"{example.id}/{better}>{worse}",
            responses=[example.responses[better], example.responses[worse]],
            labels=[example.labels[better], example.labels[worse]],
            rewards=example.rewards and [example.rewards[better], example.rewards[worse]],
        )


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
    return ordered
