"""Which lists are worth a label: by the entropy of the prompt, by how far two responses are apart, or at random."""

from collections.abc import Sequence
from statistics import fmean
from typing import Literal

import numpy as np

Choice = Literal["random", "entropy", "certainty", "hybrid"]


def entropy(logps: Sequence[float]) -> float:
    """Return the predictive entropy of a prompt in nats, estimated from log-probabilities of responses drawn to it.

    >>> entropy([-5.0, -7.0, -6.0])
    6.0
    """
    return -fmean(logps)


def gap(rewards: Sequence[float]) -> float:
    """Return how far the best and the worst response are apart; of two it is how certain a model is which is better.

    >>> gap([0.5, -0.6])
    1.1
    """
    return max(rewards) - min(rewards)


def acquired(
    entropies: Sequence[float],
    certainties: Sequence[float],
    count: int,
    *,
    choose: Choice,
    shortlist: int,
    key: Sequence[int],
) -> list[int]:
    """Return the places of `count` lists that are to be labelled, by active preference learning, arXiv:2402.08114.

    `entropy` takes those of the largest predictive entropy, `certainty` those of the largest difference of implicit
    rewards, where a confident policy that is wrong has most to learn; `hybrid` the most certain ones of the `shortlist`
    of largest entropy. Equals, and all of `random`, come in an order by the words of the key.

    >>> acquired([6.0, 20.0, 10.0], [0.1, 1.1, 1.3], 1, choose="hybrid", shortlist=2, key=[0])
    [2]
    """
    places = np.random.default_rng([*key]).permutation(len(entropies)).tolist()
    if choose == "hybrid":
        places = largest(entropies, shortlist, places)
    if choose != "random":
        places = largest(entropies if choose == "entropy" else certainties, count, places)
    return sorted(places[:count])


def largest(values: Sequence[float], count: int, places: Sequence[int]) -> list[int]:
    """Return those of some places that have the largest values, the largest first; equals stay in their order.

    >>> largest([0.1, 0.4, 0.4, 0.9], 2, [2, 1, 0])
    [2, 1]
    """
    return sorted(places, key=lambda place: -values[place])[:count]
