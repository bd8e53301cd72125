"""Drops pairs on which training would displace the chosen response, by their CHES score, arXiv:2410.08847.

The score (centered hidden embedding similarity) tells how much the hidden states of chosen and rejected overlap.
Hidden states are final ones (after the last norm) where the tokens of a response are predicted: from the last
token of the prompt to the one before the last of the response, so there are as many as the response has tokens.
"""

import numpy as np

from alignlab.data.steps import Array, Selection, Tokenized
from alignlab.data.transforms.margins import check_bounds, out_of_bounds, quantile
from alignlab.data.transforms.score_filters import without
from alignlab.errors import DataError, one_of
from alignlab.settings import AnyNumber


def filter_ches(
    tokenized: Tokenized,
    *,
    unit: str = "quantile",
    low: AnyNumber | None = None,
    high: AnyNumber | None = 0.05,
    normalized: bool = True,
    validation: bool = False,
    split: str = "train",
) -> Selection:
    """Keep rows whose CHES score is between `low` and `high`: shares of all rows (`quantile`), or scores (`score`).

    The score is <s+, s-> - |s+|^2 for the sums s of the hidden states of the best and of the worst response
    under the model that the run begins with, or for their means (`normalized`): another model, other rows.
    The paper keeps the 5 % with the lowest length-normalized scores; up to 15 % served as well.
    Validation rows stay as they are, unless `validation`.

    Raises DataError for a row in which no response is worse than another.
    """
    share = one_of("pipeline.filter_ches.unit", unit, ("quantile", "score")) == "quantile"
    check_bounds("filter_ches", low, high, share=share)
    if split != "train" and not validation:
        return Selection(range(len(tokenized)))
    values = ches_scores(tokenized, normalized=normalized)
    if share:
        low, high = quantile(values, low), quantile(values, high)
    reasons = {row: out_of_bounds(value, low, high, "CHES score") for row, value in enumerate(values)}
    return without(tokenized, {row: reason for row, reason in reasons.items() if reason})


def ches_scores(tokenized: Tokenized, *, normalized: bool) -> Array:
    """The CHES score of each row's best response against its worst, `[rows]`; DataError where none is worse."""
    same = np.flatnonzero(tokenized.best == tokenized.worst)
    if len(same):
        raise DataError(
            f"row {tokenized.examples[int(same[0])].id}: no response is worse than another, so it has no CHES score: "
            "drop filter_ches, or use data with pairs or lists"
        )
    ends = tokenized.best.tolist(), tokenized.worst.tolist()
    rows = zip(tokenized.products, tokenized.lengths, *ends, strict=True)
    return np.array([ches_of(*row, normalized=normalized) for row in rows])


def ches_of(products: Array, lengths: Array, chosen: int, rejected: int, *, normalized: bool) -> float:
    """The CHES score <s+, s-> - |s+|^2 of the pair (chosen, rejected) of a list; s are sums of hidden states.

    `products` `[K, K]` holds the inner products of the sums; `lengths` `[K]`, in tokens, turn them into those of
    means where the score is to be `normalized`.

    >>> ches_of(np.array([[5.0, 1.0], [1.0, 1.0]]), np.array([1, 1]), 0, 1, normalized=False)
    -4.0
    """
    if normalized:
        products = products / np.outer(lengths, lengths)
    return float(products[chosen, rejected] - products[chosen, chosen])
