"""Builders: which responses of a judged list stay, and with which labels.

A builder is called as `builder(labels, key, **settings)` with a label for each response (larger is better) and two
words of noise that belong to the list, and returns the places that stay with their labels, or why none does.
"""

from collections.abc import Callable, Sequence

import numpy as np

from alignlab.settings import AnyNumber

Labels = Sequence[float]
Key = tuple[int, int]
Built = tuple[Sequence[int], Labels] | str
Builder = Callable[[Labels, Key], Built]


def whole(labels: Labels, key: Key) -> Built:
    """Keep the whole list: the pair selection of the objective (`objective.pairs`) sees all of it.

    >>> whole([0.1, 0.7], (0, 0))
    ([0, 1], [0.1, 0.7])
    """
    return [*range(len(labels))], labels


def max_min(labels: Labels, key: Key) -> Built:
    """Keep the best and the worst response, the first of equals.

    >>> max_min([0.1, 0.7, 0.5], (0, 0)), max_min([0.1, 0.1], (0, 0))
    (([1, 0], [0.7, 0.1]), 'all tied')
    """
    best, worst = int(np.argmax(labels)), int(np.argmin(labels))
    return _taken(labels, [best, worst]) if best != worst else "all tied"


def random(labels: Labels, key: Key) -> Built:
    """Keep two responses of different labels, each such pair with equal probability."""
    unequal = [(i, j) for i in range(len(labels)) for j in range(i) if labels[i] != labels[j]]
    if not unequal:
        return "all tied"
    pair = unequal[int(np.random.default_rng(key).integers(len(unequal)))]
    return _taken(labels, sorted(pair))


def best_rest(labels: Labels, key: Key) -> Built:
    """Keep the whole list with label 1 for the best response, the first of equals, and 0 for the others.

    >>> best_rest([0.1, 0.7, 0.5], (0, 0))
    ([0, 1, 2], [0.0, 1.0, 0.0])
    """
    best = int(np.argmax(labels))
    if labels[best] == min(labels):
        return "all tied"
    return [*range(len(labels))], [float(place == best) for place in range(len(labels))]


def threshold(labels: Labels, key: Key, *, at: AnyNumber) -> Built:
    """Keep the whole list with label 1 where a label is `at` or above, and 0 below; a lone response keeps its side.

    >>> threshold([0.1, 0.7, 0.5], (0, 0), at=0.5), threshold([0.1], (0, 0), at=0.5)
    (([0, 1, 2], [0.0, 1.0, 1.0]), ([0], [0.0]))
    >>> threshold([0.1, 0.2], (0, 0), at=0.5)
    'all on one side of the threshold'
    """
    above = [float(label >= at) for label in labels]
    if len({*above}) < min(2, len(labels)):
        return "all on one side of the threshold"
    return [*range(len(labels))], above


def above_mean(labels: Labels, key: Key) -> Built:
    """Keep the whole list with label 1 where a label is above the mean of the list, and 0 elsewhere.

    >>> above_mean([0.1, 0.7, 0.5], (0, 0)), above_mean([0.1, 0.1], (0, 0))
    (([0, 1, 2], [0.0, 1.0, 1.0]), 'all tied')
    """
    if len({*labels}) < 2:
        return "all tied"
    mean = sum(labels) / len(labels)
    return [*range(len(labels))], [float(label > mean) for label in labels]


def _taken(labels: Labels, places: Sequence[int]) -> Built:
    return places, [labels[place] for place in places]
