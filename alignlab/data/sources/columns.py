"""Builds pairs, turns ranks into labels and reads optional columns, for several sources."""

from collections.abc import Mapping, Sequence
from typing import Any

from alignlab.data.reading.rows import Drop, RowError, column, finite
from alignlab.types import Example, Message


def pair(prompt: list[Message], chosen: str, rejected: str, **more: Any) -> Example:
    """The example of two replies, the better first, labels 1 and 0; Drop for replies that are equal or blank."""
    if chosen.strip() == rejected.strip():
        raise Drop("chosen and rejected are identical")
    if not chosen.strip() or not rejected.strip():
        raise Drop("an empty reply")
    return Example(prompt=prompt, responses=[chosen, rejected], labels=[1.0, 0.0], **more)


def by_rank(ranks: Sequence[float]) -> list[float]:
    """Labels from ranks, the lowest of which is the best: 1 for the best, 0 for the last, linear between.

    >>> by_rank([1.0, 3.0, 2.0]), by_rank([2.0, 2.0])
    ([1.0, 0.0, 0.5], [1.0, 1.0])
    """
    best = min(ranks, default=0)
    span = max(ranks, default=0) - best
    return [1 - (rank - best) / span if span else 1.0 for rank in ranks]


def by_reward(rewards: Sequence[Any]) -> list[float]:
    """Labels from the rewards of a list: 1 for the highest, 0 for the lowest, linear between.

    Raises RowError for the reward of one response alone, and for what is no number.

    >>> by_reward([2.5, -0.5, 1.0])
    [1.0, 0.0, 0.5]
    """
    if len(rewards) < 2:
        raise RowError("labels", "missing, and the reward of one response says not whether it is good")
    return by_rank([-finite(reward, f"rewards[{i}]") for i, reward in enumerate(rewards)])


def text_of(row: Mapping[str, Any], name: str) -> str:
    """The text `row[name]` of an optional column; an empty text where it is missing or no text."""
    value = row.get(name)
    return value if isinstance(value, str) else ""


def id_of(row: Mapping[str, Any]) -> str:
    """The id of a raw row, a text or a number, as text; an empty text where it is missing."""
    return "" if row.get("id") is None else str(column(row, "id", (str, int, float)))
