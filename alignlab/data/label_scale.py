"""The scale of labels: maps those of one's own scale to [0, 1], as `data.scale` says."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from alignlab.data.pipeline import piped
from alignlab.data.reading.examples import Report
from alignlab.data.reading.rows import Drop
from alignlab.data.spec import DataSpec
from alignlab.data.steps import Step
from alignlab.data.tables.table import ExampleTable
from alignlab.errors import DataError
from alignlab.types import Example

log = logging.getLogger(__name__)

WAYS = (
    "map them with 'data.scale=[1,10]', where 1 and 10 are the ends of their scale, or with data.scale=minmax, their "
    "range in the training rows; data.scale=keep takes them as they are"
)
"""What can be done about labels that are not in [0, 1]."""


def on_scale(
    spec: DataSpec, tables: dict[str, ExampleTable], cache_dir: Path, report: Report
) -> dict[str, ExampleTable]:
    """Return the rows of each split with their labels mapped to [0, 1] from the scale that `spec.scale` names.

    `minmax` stands for the range of the labels of the training rows. Raises DataError for a label beyond the scale
    (which is dropped and counted with `on_bad_row=skip`), and for `minmax` of labels that are all equal.
    """
    if spec.scale is None or spec.scale == "keep":
        return tables
    if spec.scale == "minmax":
        low, high = tables["train"].label_range
        if low == high:
            raise DataError(
                f"data.scale=minmax: all labels of the training rows of '{spec.name}' are {low:g}"
            )
        step: Step = partial(mapped, low=low, high=high)
        log.info(
            "labels of '%s' are mapped from %s to [0, 1], by data.scale=minmax", spec.name, shown(low, high)
        )
    else:
        low, high = map(float, spec.scale)
        step = partial(mapped, low=low, high=high, beyond="drop" if spec.on_bad_row == "skip" else "raise")
    steps: Mapping[str, Step] = {"scale": step}
    return {
        split: piped(rows, steps, split, cache_dir, report, spec.processes) for split, rows in tables.items()
    }


def mapped(example: Example, *, low: float, high: float, beyond: str = "map") -> Iterator[Example]:
    """Yield the row with its labels mapped from [low, high] to [0, 1], linearly.

    A row with a label beyond that is mapped all the same, raises DataError, or is dropped, as `beyond` says (map, raise
    or drop).

    >>> next(mapped(Example([], ["a", "b"], [10.0, 5.5]), low=1.0, high=10.0)).labels
    [1.0, 0.5]
    """
    outside = [label for label in example.labels if not low <= label <= high]
    if outside and beyond != "map":
        told = f"label {outside[0]:g} is beyond data.scale={shown(low, high)}"
        if beyond == "drop":
            raise Drop(told)
        raise DataError(f"row {example.id}: {told}: mend the row or the scale")
    yield replace(example, labels=[(label - low) / (high - low) for label in example.labels])


def tell_lone_ratings(spec: DataSpec, rows: ExampleTable) -> None:
    """Warn where lone responses have labels beyond [0, 1], on which the middle between good and bad is not 0.5."""
    if spec.rescaled or not len(rows) or rows.sizes.max() > 1:
        return
    low, high = rows.label_range
    if low < 0 or high > 1:
        log.warning(
            "data '%s': labels of its lone responses run from %g to %g, and one above 0.5 makes a response desirable: "
            "%s",
            spec.name,
            low,
            high,
            WAYS,
        )


def shown(low: float, high: float) -> str:
    """Return a scale as it is typed.

    >>> shown(1.0, 10.0)
    '[1,10]'
    """
    return f"[{low:g},{high:g}]"
