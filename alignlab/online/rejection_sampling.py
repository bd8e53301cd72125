"""Statistical rejection sampling: responses of the policy as if they were drawn from the optimum of the reward."""

import math
from collections.abc import Callable, Sequence
from typing import Annotated

import numpy as np

from alignlab.online.pairs import Built, Key, Labels
from alignlab.settings import PositiveNumber, whole


def rejection_sampling(
    labels: Labels, key: Key, *, keep: Annotated[int, whole(2, 1000)] = 8, beta: PositiveNumber = 0.5
) -> Built:
    """Keep `keep` responses by statistical rejection sampling, RSO, arXiv:2309.06657 algorithm 1, in a random order.

    `beta` is in the units of the labels, which are to be rewards as they are: the larger, the more like any drawn
    response; towards 0 the best of them. `objective.pairs=first_round` or `tournament` makes pairs of those that stay.
    """
    if len(labels) < keep:
        return "fewer responses than online.pairs.keep"
    noise = np.random.default_rng(key)
    stay = accepted(labels, noise.random, keep=keep, beta=beta)
    places = noise.permutation(stay).tolist()
    return places, [labels[place] for place in places]


def accepted(rewards: Sequence[float], draw: Callable[[], float], *, keep: int, beta: float) -> list[int]:
    """Return the numbers of `keep` of the candidates, in the order in which they were accepted.

    In each pass over the candidates that are left, one of reward r is accepted where `draw()`, a uniform number from
    [0, 1), is below exp((r - max) / beta); max is the largest reward of the pass. Those that were accepted leave behind
    the pass. Raises ValueError where there are fewer candidates than are to be kept.

    >>> uniforms = iter([0.9, 0.5, 0.1, 0.04])
    >>> accepted([1.0, 0.5, 0.0, -0.5], lambda: next(uniforms), keep=3, beta=0.5)
    [0, 2, 3]
    """
    if keep > len(rewards):
        raise ValueError(f"keep={keep}: there are {len(rewards)} candidates")
    alive, stay = [*range(len(rewards))], list[int]()
    while len(stay) < keep:
        most = max(rewards[place] for place in alive)
        for place in alive:
            if len(stay) < keep and draw() < math.exp((rewards[place] - most) / beta):
                stay.append(place)
        taken = {*stay}
        alive = [place for place in alive if place not in taken]
    return stay
