"""Measures the strength of preferences by several reward models, and finds the labels that these contradict."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from alignlab.data.steps import Array


@dataclass(frozen=True)
class Strengths:
    """The strengths of preferences: one value for each row."""

    mean: Array
    """The mean margin of each row; below 0 where the reward models contradict the label."""
    std: Array
    """The population standard deviation of the margins of each row."""
    ascending: Array
    """The numbers of the rows, the weakest first; of equals the earlier."""
    flip: Array
    """Whether the mean margin of each row is below the threshold."""
    alpha: Array
    """The label smoothing of each row: `alpha` where `flip`, else 0."""


def strengths_of(
    margins: Sequence[Sequence[float]] | Array, *, flip_below: float = 0.0, alpha: float = 0.1
) -> Strengths:
    """Compute the strengths of preferences: "Secrets of RLHF II", arXiv:2401.06080, section 2.

    `margins` `[rows, reward models]` holds the reward of the chosen response minus that of the rejected.

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
