"""Filters rows by log-probabilities under the model that the run begins with."""

import numpy as np

from alignlab.data.steps import Array, Selection, Tokenized
from alignlab.data.transforms.margins import check_bounds, out_of_bounds, quantile, reference_margins
from alignlab.errors import one_of
from alignlab.settings import AnyNumber, PositiveNumber

NORMAL_MAD = 0.6744897501960817
"""The median distance of a standard normal number from 0."""


def filter_reference_outliers(
    tokenized: Tokenized, *, method: str = "mad", threshold: PositiveNumber = 3.5, of: str = "both"
) -> Selection:
    """Drop rows whose best or worst response (`of` best | worst | both) is unusually likely or unlikely.

    The log-probability per token (nats) of a best response is compared with those of all best responses, that
    of a worst with all worst: by its distance from the median in median distances (`mad`, scaled to agree with
    standard deviations on normal data), or from the mean in standard deviations (`zscore`). The scale
    depends on the rows at hand, so that filtering twice may drop more. Equal values have no outlier.
    """
    key = "pipeline.filter_reference_outliers"
    one_of(f"{key}.method", method, ("mad", "zscore"))
    one_of(f"{key}.of", of, ("best", "worst", "both"))
    dropped: dict[int, str] = {}
    for side, places in {"worst": tokenized.worst, "best": tokenized.best}.items():
        if of in (side, "both"):
            far = np.abs(standardized(_per_token(tokenized, places), method)) > threshold
            dropped |= {
                int(row): f"log-prob of the {side} response is an outlier" for row in np.flatnonzero(far)
            }
    return without(tokenized, dropped)


def filter_difficulty(
    tokenized: Tokenized, *, unit: str = "nats", low: AnyNumber | None = None, high: AnyNumber | None = None
) -> Selection:
    """Keep rows whose difficulty is between `low` and `high`: nats, or shares of all rows (`quantile`).

    Difficulty is c = log p(worst) - log p(best) (arXiv:2405.19534). Where it is above 0, the model ranks the
    row wrongly, and DPO has to bring its loss to -log sigmoid(beta c) or lower to mend that.

    Raises DataError for a row in which no response is worse than another.
    """
    share = one_of("pipeline.filter_difficulty.unit", unit, ("nats", "quantile")) == "quantile"
    check_bounds("filter_difficulty", low, high, share=share)
    values = -reference_margins(tokenized)
    if share:
        low, high = quantile(values, low), quantile(values, high)
    reasons = {row: out_of_bounds(value, low, high, "difficulty") for row, value in enumerate(values)}
    return without(tokenized, {row: reason for row, reason in reasons.items() if reason})


def standardized(values: Array, method: str) -> Array:
    """The distances of values from their middle in units of their spread; 0 for all where there is no spread."""
    if not len(values):
        return values
    if method == "zscore":
        away, spread = values - values.mean(), values.std()
    else:
        away = values - np.median(values)
        spread = np.median(np.abs(away)) / NORMAL_MAD
    return away / spread if spread > 0 else np.zeros_like(away)


def without(tokenized: Tokenized, dropped: dict[int, str]) -> Selection:
    """The selection of all rows but those dropped, in their order."""
    return Selection([row for row in range(len(tokenized)) if row not in dropped], dropped)


def _per_token(tokenized: Tokenized, places: Array) -> Array:
    rows = zip(tokenized.logps, tokenized.lengths, places, strict=True)
    return np.array([float(logps[place]) / max(int(lengths[place]), 1) for logps, lengths, place in rows])
