"""Rows that note which of their columns a source reads, so that a run can tell what it did not use."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from alignlab.errors import printable

NOTHING: Mapping[str, str] = {}


class NotedRow(Mapping[str, Any]):
    """A raw row under the names that a source knows; a column counts as used once it is read by `row[name]`.

    `names` maps a name of the source to the column of the file that stands for it. Columns in `without` are
    taken out.
    """

    def __init__(
        self, values: Mapping[str, Any], names: Mapping[str, str] = NOTHING, without: Sequence[str] = ()
    ) -> None:
        self.names, self.without, mapped = names, {*without}, {*names.values()}
        kept = {name: value for name, value in values.items() if name not in self.without}
        rest = {name: value for name, value in kept.items() if name not in mapped}
        self.raw: Mapping[str, Any] = {
            **rest,
            **{ours: kept[name] for ours, name in names.items() if name in kept},
        }
        self._read: set[str] = set()
        self.notes = {name for name in names if not _is_empty(rest.get(name))}
        """What was not used beside whole columns: columns that a mapped one displaces, keys of turns."""

    def __getitem__(self, name: str) -> Any:
        self._read.add(name)
        return self.raw[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.raw)

    def __len__(self) -> int:
        return len(self.raw)

    def __contains__(self, name: object) -> bool:
        return name in self.raw

    def holds(self, name: str) -> bool:
        """Whether there is a value in a column, which counts as no reading of it."""
        return self.raw.get(name) is not None

    def unused(self) -> set[str]:
        """The columns, by their names in the file, that hold something and were not read; rows inside it included."""
        unread = {name for name in self.raw if name not in self._read and not _is_empty(self.raw[name])}
        lists = (value for value in self.raw.values() if isinstance(value, list))
        inner = [row.unused() for value in lists for row in value if isinstance(row, NotedRow)]
        unused = self.notes.union({self.names.get(name, name) for name in unread}, *inner)
        return {printable(str(name)) for name in unused - self.without}


def has(row: Mapping[str, Any], name: str) -> bool:
    """Whether a row has a value in a column, which counts as no reading of it."""
    return row.holds(name) if isinstance(row, NotedRow) else row.get(name) is not None


def note(row: Mapping[str, Any], what: str) -> None:
    """Note on a row that a part of it is not used; rows that note nothing let it be."""
    if isinstance(row, NotedRow):
        row.notes.add(what)


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, (str, list, Mapping)) and not value)
