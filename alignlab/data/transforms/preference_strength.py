"""Filters rows by the strength of their preference, arXiv:2401.06080."""

import math
from collections.abc import Iterator, Sequence

import numpy as np

from alignlab.data.reading.rows import Dropped
from alignlab.data.transforms.margins import SCALES, check_bounds, margin, out_of_bounds, quantile
from alignlab.errors import DataError, one_of
from alignlab.settings import AnyNumber
from alignlab.types import Example

KEY = "pipeline.filter_preference_strength"


def filter_preference_strength(
    examples: Sequence[Example],
    *,
    by: str = "rewards",
    unit: str = "quantile",
    low: AnyNumber | None = None,
    high: AnyNumber | None = None,
) -> Iterator[Example | Dropped]:
    """Keep rows whose preference strength is between `low` and `high`: scores, or shares of all rows.

    Strength is the score of the best response minus that of the worst, best and worst by label: below 0
    where scores and labels disagree. `by` takes it from rewards, from labels, or from meta["margins"], the
    margins of several reward models, whose mean counts. The paper finds that the lowest fifth of
    rows hurts and that the top tenth overfits. With quantiles the result depends on the other rows, so
    that filtering twice drops more; with `score` it does not.

    Raises DataError for a row without what `by` names.
    """
    share = one_of(f"{KEY}.unit", unit, ("quantile", "score")) == "quantile"
    one_of(f"{KEY}.by", by, (*SCALES, "margins"))
    check_bounds("filter_preference_strength", low, high, share=share)
    values = np.array([_strength(example, by) for example in examples])
    if share:
        low, high = quantile(values, low), quantile(values, high)
    for example, value in zip(examples, values, strict=True):
        reason = out_of_bounds(value, low, high, "preference strength")
        yield Dropped(example.id, reason) if reason else example


def _strength(example: Example, by: str) -> float:
    if by != "margins":
        return margin(example, by, f"{KEY}.by=labels")
    margins = example.meta.get("margins")
    if not isinstance(margins, Sequence) or not margins or not all(map(_is_finite, margins)):
        raise DataError(
            f"row {example.id}: meta.margins is {margins!r}, not a list of numbers, one a reward model: "
            f"give them, or use {KEY}.by=rewards"
        )
    return float(np.mean(margins))


def _is_finite(value: object) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)
