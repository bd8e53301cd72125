"""Which step of the pipeline made a row, and how many rows of each step a limit keeps."""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping

from alignlab.data.reading.examples import Report
from alignlab.data.tables.table import ExampleTable

log = logging.getLogger(__name__)

SOURCE = "source"
Trail = Mapping[str, ExampleTable]
"""The rows of a split as the source gave them (`SOURCE`), and after each step on text, by its name."""


def last(trail: Trail) -> ExampleTable:
    """The rows at the end of a trail."""
    return [*trail.values()][-1]


def makers(trail: Trail) -> dict[str, str]:
    """The name of what made each row, by the row's id: the source, or the first step behind which the id stands."""
    by_id: dict[str, str] = {}
    for name, rows in trail.items():
        for row_id in rows.ids:
            by_id.setdefault(row_id, name)
    return by_id


def tell_kept(step: str, trail: Trail, before: Iterable[str], after: Iterable[str], report: Report) -> None:
    """Count in the report, for a `step` that limits rows, how many stay of those that each maker made.

    `before` and `after` are the ids of the rows. Nothing is counted where one made them all; where nothing of one is
    left, the log warns.
    """
    by_id = makers(trail)
    kinds, kept = (Counter(by_id[row_id] for row_id in ids) for ids in (before, after))
    if len(kinds) < 2:
        return
    for kind, rows in kinds.items():
        report.count(step, f"from {kind} kept", kept[kind])
        if not kept[kind]:
            log.warning("%s: none of the %d rows that '%s' made stays", step, rows, kind)
