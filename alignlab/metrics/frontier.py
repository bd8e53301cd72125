"""The frontier of reward against KL by best-of-n sampling of the start, to which policies are compared."""

import math
import operator
from collections.abc import Sequence
from statistics import fmean


def best_of_n(n: int) -> tuple[float, float]:
    """The KL to the start in nats, and the win rate over one of its samples, of the best of n samples without ties.

    They are log n - (n - 1) / n and n / (n + 1). With ties the first is an upper bound, and the win rate is lower.

    >>> [round(value, 4) for value in best_of_n(4)]
    [0.6363, 0.8]
    """
    return math.log(n) - (n - 1) / n, n / (n + 1)


def best_reward(rewards: Sequence[Sequence[float]], n: int) -> float:
    """The mean reward of the best of n samples, estimated from N >= n samples of each prompt without bias.

    It is the mean over all choices of n samples: of sorted rewards the i-th is the best of C(i - 1, n - 1) choices.

    >>> best_reward([[0.0, 1.0, 2.0]], 1), best_reward([[0.0, 1.0, 2.0]], 3)
    (1.0, 2.0)
    """
    means = []
    for drawn in rewards:
        shares = [math.comb(i, n - 1) / math.comb(len(drawn), n) for i in range(len(drawn))]
        means.append(math.fsum(map(operator.mul, shares, sorted(drawn))))
    return fmean(means)
