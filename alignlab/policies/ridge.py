"""Ridge regression of ratings on features, and the debiasing of verbosity: what ArmoRM fits in closed form."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from alignlab import ranks

STRENGTHS = tuple(10.0**power for power in range(-4, 5))
"""The strengths of the penalty on weights that are tried."""
PENALTIES = (0.0, 0.01, 0.025, *(i / 40 for i in range(2, 7)), *(i / 20 for i in range(4, 20)))
"""The shares of verbosity that may be taken off an attribute: 24 values from 0 to 0.95, arXiv:2406.12845."""
THRESHOLD = 0.028
"""The rank correlation with verbosity at which an attribute is free enough of it."""


def ridge(
    features: Float[Tensor, "N D"], ratings: Float[Tensor, "N"], held: Bool[Tensor, "N"]
) -> tuple[Float[Tensor, "D"], float]:
    """Return weights w that minimize the sum of (features w - rating)^2 plus strength |w|^2, and that strength.

    A rating that is NaN is not known. The strength is the one of `STRENGTHS` whose weights, fitted without the rows
    `held` out, predict these best; the weights are then fitted to all. Rows of all ranks count, and all must call this.
    """
    known = ~ratings.isnan()
    parts = [_moments(features[known & part], ratings[known & part]) for part in (~held, held)]
    (fit, held_out), whole = parts, [sum(pair) for pair in zip(*parts, strict=True)]
    if not (fit[2] > 0 and held_out[2] > 0):
        fit = held_out = tuple(whole)
    errors = [_error(_solved(fit, strength), held_out) for strength in STRENGTHS]
    best = STRENGTHS[min(range(len(errors)), key=errors.__getitem__)]
    return _solved(whole, best), best


def _moments(features: Tensor, ratings: Tensor) -> tuple[Tensor, ...]:
    """Return X'X, X'y, the number of rows and y'y over all ranks, in float64."""
    x, y = features.double(), ratings.double()
    parts = (x.T @ x, x.T @ y, x.new_tensor(len(x)), y.square().sum())
    return tuple(ranks.total(part) for part in parts)


def _solved(moments: Sequence[Tensor], strength: float) -> Tensor:
    gram, product = moments[:2]
    eye = torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    weights: Tensor = torch.linalg.solve(gram + strength * eye, product)
    return weights


def _error(weights: Tensor, moments: Sequence[Tensor]) -> float:
    """Return the sum of squared errors of weights on rows of which the moments are known."""
    gram, product, _, square = moments
    return float(square - 2 * weights @ product + weights @ gram @ weights)


def penalties_of(rewards: Float[Tensor, "N A"], verbosity: int) -> Float[Tensor, "A"]:
    """Return for each attribute the smallest of `PENALTIES` that frees it of verbosity; 1 where none does.

    Free is an attribute whose reward, less the penalty times that of verbosity, has a rank correlation (Spearman) with
    verbosity of at most `THRESHOLD`. Verbosity itself has 1.

    >>> penalties_of(torch.tensor([[3.0, 3.0], [1.0, 1.0], [2.0, 2.0]]), 1)
    tensor([1., 1.])
    """
    from scipy.stats import spearmanr  # where it is used alone: it is slow to import

    table = rewards.double().cpu().numpy()
    found = torch.ones(table.shape[1], dtype=rewards.dtype, device=rewards.device)
    for number in range(table.shape[1]):
        if number == verbosity:
            continue
        for penalty in PENALTIES:
            left = table[:, number] - penalty * table[:, verbosity]
            if not spearmanr(left, table[:, verbosity]).statistic > THRESHOLD:
                found[number] = penalty
                break
    return found
