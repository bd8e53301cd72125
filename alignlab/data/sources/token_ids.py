"""Rows of token ids, taken as they are: no template, and no token added at either end.

prompt_ids  list of int
responses   list of lists of int, the best first
id          str, optional
"""

from collections.abc import Mapping
from typing import Any

from alignlab.data.encoding.id_turns import LARGEST, id_turns
from alignlab.data.reading.rows import RowError, column
from alignlab.data.sources.columns import id_of
from alignlab.types import Example


def convert(row: Mapping[str, Any]) -> Example:
    """Convert a ranked list of token ids: labels fall evenly from 1 for the best response to 0 for the last."""
    responses = column(row, "responses", list)
    worst = max(len(responses) - 1, 1)
    return Example(
        prompt=id_turns(_ids(column(row, "prompt_ids", list), "prompt_ids")),
        responses=[id_turns(_ids(ids, f"responses[{i}]")) for i, ids in enumerate(responses)],
        labels=[1 - i / worst for i in range(len(responses))],
        id=id_of(row),
    )


def _ids(values: Any, name: str) -> list[int]:
    if not isinstance(values, list) or not values:
        raise RowError(name, f"expected a list of token ids, at least one, found {values!r:.60}")
    for place, value in enumerate(values):
        if type(value) is not int or not 0 <= value <= LARGEST:
            raise RowError(
                f"{name}[{place}]", f"expected a token id, a whole number from 0, found {value!r:.60}"
            )
    return values
