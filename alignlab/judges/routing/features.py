"""Properties of rows that tell annotators apart: lengths and likeness in thirds, and tags of their meta."""

from collections.abc import Callable, Sequence
from itertools import combinations
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alignlab.data.transforms.texts import text, words, written
from alignlab.errors import DataError, nearest
from alignlab.types import Example

Array = NDArray[Any]
THIRDS = ("low", "middle", "high")


def row_features(examples: Sequence[Example], tags: Sequence[str] = ()) -> tuple[list[str], Array]:
    """Return the names of features, and which rows have them, `[rows, F]` of 0 and 1.

    The numbers of `MEASURES` are cut into thirds of these rows; each entry of meta in `tags` is a feature for each of
    its values. What all rows have, or none, is left out. Raises DataError for a tag that no row has.
    """
    columns: dict[str, Array] = {}
    for name, measure in MEASURES.items():
        values = np.array([measure(example) for example in examples])
        third = np.searchsorted(np.quantile(values, (1 / 3, 2 / 3)), values)
        columns |= {f"{name}: {part}": third == place for place, part in enumerate(THIRDS)}
    for tag in tags:
        told = [example.meta.get(tag) for example in examples]
        if all(value is None for value in told):
            known = {name for example in examples for name in example.meta}
            raise DataError(f"route.tags={tag}: no row has meta.{tag}: {nearest(tag, known)}")
        for value in sorted({str(value) for value in told if value is not None}):
            columns[f"{tag}: {value}"] = np.array([one is not None and str(one) == value for one in told])
    varied = {name: column for name, column in columns.items() if column.any() and not column.all()}
    return [*varied], np.array([*varied.values()], float).T.reshape(len(examples), len(varied))


def _prompt_words(example: Example) -> float:
    return len(words(text(example.prompt)))


def _response_words(example: Example) -> float:
    return fmean(len(words(written(response))) for response in example.responses)


def _length_gap(example: Example) -> float:
    lengths = [len(words(written(response))) for response in example.responses]
    return max(lengths) - min(lengths)


def _likeness(example: Example) -> float:
    """The mean Jaccard index of the words of every two responses."""
    sets = [{*words(written(response))} for response in example.responses]
    return fmean(len(a & b) / max(len(a | b), 1) for a, b in combinations(sets, 2)) if len(sets) > 1 else 1.0


MEASURES: dict[str, Callable[[Example], float]] = {
    "words of the prompt": _prompt_words,
    "words of a response": _response_words,
    "gap of lengths": _length_gap,
    "likeness of responses": _likeness,
}
