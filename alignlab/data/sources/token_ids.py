"""Rows of token ids, taken as they are: no template, and no token added at either end.

prompt_ids  list of int
responses   list of lists of int, the best first
labels      optional, a number a response: which is better, where the order does not say so
rewards     optional, a number a response: raw scores, from which labels are made where there are none
id          str, optional

Rows of drawn responses may carry what their sampler told (`types.Example`): finished, from_reference and
behavior_logps, a value a response; token_behavior_logps, token_old_logps and token_behavior_values, for each response a
list of a value a token.
"""

from collections.abc import Mapping
from typing import Any

from alignlab.data.encoding.id_turns import LARGEST, id_turns
from alignlab.data.reading.noted_row import has
from alignlab.data.reading.rows import RowError, column, finite, storable
from alignlab.data.sources.columns import by_rank, by_reward, id_of
from alignlab.signals import DRAWN
from alignlab.types import Example


def convert(row: Mapping[str, Any]) -> Example:
    """Convert a list of token ids. Without labels and rewards it is ranked, and labels fall evenly from 1 to 0."""
    responses = column(row, "responses", list)
    rewards = column(row, "rewards", list) if has(row, "rewards") else None
    if has(row, "labels"):
        labels = column(row, "labels", list)
    else:
        labels = by_reward(rewards) if rewards else by_rank(range(len(responses)))
    return Example(
        prompt=id_turns(_ids(column(row, "prompt_ids", list), "prompt_ids")),
        responses=[id_turns(_ids(ids, f"responses[{i}]")) for i, ids in enumerate(responses)],
        labels=[finite(value, f"labels[{i}]") for i, value in enumerate(labels)],
        rewards=rewards and [finite(value, f"rewards[{i}]") for i, value in enumerate(rewards)],
        id=id_of(row),
        meta={name: storable(row[name], name) for name in sorted(DRAWN) if has(row, name)},
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
