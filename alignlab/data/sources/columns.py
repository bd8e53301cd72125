"""What several sources share: pairs, labels from ranks, and columns that may be missing."""

from collections.abc import Mapping, Sequence
from typing import Any

from alignlab.data.reading.rows import Drop, column
from alignlab.types import Example, Message


def pair(prompt: list[Message], chosen: str, rejected: str, **more: Any) -> Example:
    """The better reply first, labels 1 and 0; drops replies that are equal or empty (but for white space)."""
    if chosen.strip() == rejected.strip():
        raise Drop("chosen and rejected are identical")
    if not chosen.strip() or not rejected.strip():
        raise Drop("an empty reply")
    return Example(prompt=prompt, responses=[chosen, rejected], labels=[1.0, 0.0], **more)


def by_rank(ranks: Sequence[float]) -> list[float]:
    """Labels of ranks, of which the lowest is best: 1 for the best, 0 for the last, evenly between.

    >>> by_rank([1.0, 3.0, 2.0]), by_rank([2.0, 2.0])
    ([1.0, 0.0, 0.5], [1.0, 1.0])
    """
    best, span = min(ranks), max(ranks) - min(ranks)
    return [1 - (rank - best) / span if span else 1.0 for rank in ranks]


def text_of(row: Mapping[str, Any], name: str) -> str:
    """`row[name]`, or nothing where it is missing or no text: for what a row may tell and need not."""
    value = row.get(name)
    return value if isinstance(value, str) else ""


def id_of(row: Mapping[str, Any]) -> str:
    """`row["id"]`, a text or a number; nothing where it is missing."""
    return "" if row.get("id") is None else str(column(row, "id", (str, int, float)))
