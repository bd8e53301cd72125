"""How sure several reward models are of the preferences in some data, and which labels they contradict."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from alignlab.data.steps import Array


@dataclass(frozen=True)
class Strengths:
    """One value a row."""

    mean: Array
    """Mean margin; below 0 where the reward models contradict the label."""
    std: Array
    """Population standard deviation of the margins."""
    ascending: Array
    """Numbers of the rows, the weakest first; of equals the earlier."""
    flip: Array
    """True where the mean is below the threshold."""
    alpha: Array
    """Label smoothing of the row: `alpha` where `flip`, else 0."""


def strengths_of(
    margins: Sequence[Sequence[float]] | Array, *, flip_below: float = 0.0, alpha: float = 0.1
) -> Strengths:
    """Strengths of preferences, "Secrets of RLHF II", arXiv:2401.06080 section 2.

    `margins` `[rows, reward models]`: reward of the chosen response minus that of the rejected.

    >>> strengths_of([[1.0, 3.0], [-2.0, 0.0]]).flip
    array([False,  True])
    """
    values = np.asarray(margins, dtype=np.float64)
    mean = values.mean(axis=1)
    flip = mean < flip_below
    return Strengths(
        mean=mean,
        std=values.std(axis=1),
        ascending=np.argsort(mean, kind="stable"),
        flip=flip,
        alpha=np.where(flip, alpha, 0.0),
    )
