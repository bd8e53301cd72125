"""The frontier of reward against KL by best-of-n sampling of the start, to which policies are compared."""

import math
import operator
from collections import Counter
from collections.abc import Sequence
from itertools import accumulate, pairwise
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


def best_of_n_shares(shares: Sequence[float], n: int) -> list[float]:
    """The probabilities of the best of n draws, for outcomes with these probabilities that are listed from worst to
    best.

    With F the probability of no better outcome, it is F^n less that of the outcome before.

    >>> best_of_n_shares([0.5, 0.5], 2)
    [0.25, 0.75]
    """
    return [after**n - before**n for before, after in pairwise(accumulate([0.0, *shares]))]


def best_of_n_kl(rewards: Sequence[float], n: int) -> float:
    """The KL in nats of the best of n draws from these rewards, all as likely, to one draw; equal ones are one outcome.

    Of N rewards it is that of a distribution with N outcomes at most, and below `best_of_n`, which it nears with N.
    """
    shares = [count / len(rewards) for _, count in sorted(Counter(rewards).items())]
    both = zip(best_of_n_shares(shares, n), shares, strict=True)
    return math.fsum(best * math.log(best / share) for best, share in both if best > 0)


def best_of_n_wins(rewards: Sequence[float], n: int) -> float:
    """The share in which the best of n draws beats another one, a tie counting one half: over all choices of n + 1.

    >>> best_of_n_wins([0.0, 1.0, 2.0], 2)
    0.6666666666666666
    """
    others, wins = math.comb(len(rewards) - 1, n), []
    for value in rewards:
        lower = math.comb(sum(reward < value for reward in rewards), n) / others
        no_better = math.comb(sum(reward <= value for reward in rewards) - 1, n) / others
        wins.append(1 - (lower + no_better) / 2)
    return fmean(wins)
