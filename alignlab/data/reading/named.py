"""Gives the columns of raw rows the names that a source knows, and leaves out those that are not to be read."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from alignlab.data.reading.noted_row import NotedRow
from alignlab.data.reading.raw import Raw
from alignlab.errors import DataError, nearest


def named(rows: Iterable[Raw], names: Mapping[str, str], without: Sequence[str]) -> Iterator[Raw]:
    """The rows as `NotedRow`s under the names of the source; broken ones as they are.

    Raises DataError at the end where a column of `names` is in no row.
    """
    columns: set[str] = set()
    for origin, row in rows:
        if isinstance(row, Mapping):
            columns.update(row)
            yield origin, NotedRow(row, names, without)
        else:
            yield origin, row
    for ours, theirs in names.items():
        if columns and theirs not in columns:
            raise DataError(
                f"data.columns.{ours}={theirs}: no row has a column '{theirs}'; {nearest(theirs, columns)}"
            )
