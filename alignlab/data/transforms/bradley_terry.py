"""Fits the strengths of the Bradley-Terry model to the wins of one list."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[Any]
STEPS = 100
"""The largest number of Newton iterations; a dozen suffice."""
TOLERANCE = 1e-12


def fitted(wins: ArrayLike, *, prior: float = 1.0) -> Array:
    """The most probable theta `[K]`, in nats, for P(i beats j) = sigmoid(theta_i - theta_j).

    `wins` `[K, K]` holds how often i beat j; fractions count as such, and the diagonal does not count. Each
    response also drew `prior` > 0 games against one of strength 0, so that theta is finite where one wins
    every game, and its zero is fixed.

    >>> fitted([[0, 2], [0, 0]], prior=2.0).round(4)
    array([ 0.7563, -0.7563])
    """
    won = np.asarray(wins, dtype=np.float64)
    won = won - np.diag(np.diag(won))
    games = won + won.T
    theta = np.zeros(len(won))
    for _ in range(STEPS):
        chance = _sigmoid(theta[:, None] - theta[None, :])
        alone = _sigmoid(theta)
        slope = (won - games * chance).sum(axis=1) + prior * (0.5 - alone)
        curve = games * chance * (1 - chance)
        bend = np.diag(curve.sum(axis=1) + prior * alone * (1 - alone)) - curve
        step = np.linalg.solve(bend, slope)
        theta = theta + step / max(1.0, float(np.abs(step).max()))  # a whole step, or one of 1 nat
        if np.abs(step).max() < TOLERANCE:
            break
    return theta


def _sigmoid(values: Array) -> Array:
    return 0.5 * (1 + np.tanh(values / 2))
