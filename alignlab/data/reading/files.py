"""Reads raw rows of local files: jsonl, json, csv, parquet and arrow, gzip included, and of saved datasets."""

import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from alignlab.data.reading.arrow_rows import saved_rows, table_rows
from alignlab.data.reading.csv_rows import csv_rows
from alignlab.data.reading.data_files import format_of
from alignlab.data.reading.raw import Raw, opened_text
from alignlab.data.reading.rows import Origin, RowError
from alignlab.data.reading.unpacked import LONGEST, lines_of, whole
from alignlab.errors import DataError


def read(sources: Iterable[Path]) -> Iterator[Raw]:
    """All rows of the files and saved datasets, in order; DataError for one that cannot be read at all."""
    for source in sources:
        reader = saved_rows if source.is_dir() else _READERS[format_of(source)]
        try:
            yield from reader(source)
        except (OSError, EOFError, zlib.error) as error:  # unreadable, or a damaged gzip
            raise DataError(f"data.path: {source} cannot be read: {error}") from error


def grouped(rows: Iterable[Raw], by: str) -> Iterator[Raw]:
    """Join neighbouring rows with one value in the column `by` into one row {by: value, "rows": [row, ...]}.

    Its origin is that of the first of them. Rows without the column, and broken ones, stay single.
    """
    first, group = Origin("", 0), list[Mapping[str, Any]]()
    for origin, row in rows:
        whole = [row] if isinstance(row, Mapping) and row.get(by) is not None else []
        if group and whole and whole[0][by] == group[0][by]:
            group += whole
            continue
        if group:
            yield first, {by: group[0][by], "rows": group}
        first, group = origin, whole
        if not whole:
            yield origin, row
    if group:
        yield first, {by: group[0][by], "rows": group}


def _jsonl(file: Path) -> Iterator[Raw]:
    """A row a line, and the error in the place of a broken line, which the reader of `datasets` does not give."""
    with opened_text(file) as lines:
        for number, line in enumerate(lines_of(lines, file), start=1):
            if not line.strip():
                continue
            origin = Origin(str(file), number)
            try:
                row = _loaded(line)
            except UnicodeDecodeError as error:
                yield origin, RowError("(the whole line)", f"not UTF-8: {error}")
            except (ValueError, RecursionError) as error:  # also numbers of too many digits, lists too deep
                yield origin, RowError("(the whole line)", f"broken JSON: {error}")
            else:
                yield origin, _mapping(row)


def _json(file: Path) -> Iterator[Raw]:
    """A list of rows; or a row a line, which some call .json too."""
    if _begins_with_a_row(file):
        yield from _jsonl(file)
        return
    with opened_text(file) as stream:
        try:
            rows = _loaded(whole(stream, file))
        except (ValueError, RecursionError) as error:
            raise DataError(
                f"{file}: broken JSON: {error}. Mend the file, or write one row a line and name it .jsonl: "
                "there data.on_bad_row=skip can leave a broken row out"
            ) from error
    if not isinstance(rows, list):
        raise DataError(
            f"{file}: expected a list of rows, found {type(rows).__name__}; one row a line is .jsonl"
        )
    for number, row in enumerate(rows, start=1):
        yield Origin(str(file), number), _mapping(row)


def _begins_with_a_row(file: Path) -> bool:
    with opened_text(file) as lines:
        first = next((line for line in iter(partial(lines.readline, LONGEST), b"") if line.strip()), b"")
    try:
        return isinstance(_loaded(first), dict)
    except (ValueError, RecursionError):
        return False


def _loaded(text: bytes) -> Any:
    """The value of a JSON text; ValueError also where an object has two values under one name."""
    return json.loads(text.decode("utf-8-sig"), object_pairs_hook=_unique)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"two values under '{next(name for name in names if names.count(name) > 1)}'")
    return values


def _mapping(row: Any) -> dict[str, Any] | RowError:
    return (
        row
        if isinstance(row, dict)
        else RowError("(the whole row)", f"expected an object, found {row!r:.60}")
    )


_READERS = {
    ".jsonl": _jsonl,
    ".ndjson": _jsonl,
    ".json": _json,
    ".csv": csv_rows,
    ".tsv": csv_rows,
    ".parquet": table_rows,
    ".arrow": table_rows,
}
