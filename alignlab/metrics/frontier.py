"""What reward costs in divergence: best-of-n sampling of the start, which policies are held against."""

import math


def best_of_n(n: int) -> tuple[float, float]:
    """(KL to the start in nats, win rate over one of its samples) of the best of n samples, where no two tie.

    log n - (n - 1) / n and n / (n + 1). With ties the first is an upper bound, and the win rate is lower.

    >>> [round(value, 4) for value in best_of_n(4)]
    [0.6363, 0.8]
    """
    return math.log(n) - (n - 1) / n, n / (n + 1)
