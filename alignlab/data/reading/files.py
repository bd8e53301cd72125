"""Reads raw rows of local files: jsonl, json, csv, parquet and arrow, gzip included."""

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from alignlab.data.reading.data_files import format_of
from alignlab.data.reading.rows import Origin, RowError
from alignlab.errors import DataError

Raw = tuple[Origin, Mapping[str, Any] | RowError]
"""A row with its origin, or the error in its place: a broken line does not end the file."""


def read(files: Iterable[Path]) -> Iterator[Raw]:
    """All rows of the files, in order; DataError for a file that cannot be read at all."""
    for file in files:
        try:
            yield from _READERS[format_of(file)](file)
        except (OSError, EOFError, zlib.error) as error:  # unreadable, or a damaged gzip
            raise DataError(f"data.path: {file} cannot be read: {error}") from error


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
    with _open(file) as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            origin = Origin(str(file), number)
            try:
                row = json.loads(line.decode("utf-8-sig"))
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
    with _open(file) as stream:
        try:
            rows = json.loads(stream.read().decode("utf-8-sig"))
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
    with _open(file) as lines:
        first = next((line for line in lines if line.strip()), b"")
    try:
        return isinstance(json.loads(first.decode("utf-8-sig")), dict)
    except (ValueError, RecursionError):
        return False


def _csv(file: Path) -> Iterator[Raw]:
    """The rows of a csv file; empty cells count as missing."""
    with _open(file) as stream:
        text = io.TextIOWrapper(stream, "utf-8-sig", errors="surrogateescape", newline="")
        try:
            table = csv.DictReader(text)
            names = table.fieldnames or []
            if _is_escaped("".join(names)) or "\0" in "".join(names):
                raise DataError(f"{file}: the names of its columns are not UTF-8; save the file as UTF-8")
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise DataError(f"{file}: two columns are named '{twice[0]}'")
            for number, row in enumerate(table, start=1):
                yield Origin(str(file), number), _cells(row)
        except csv.Error as error:
            raise DataError(f"{file}: no readable csv: {error}") from error


def _cells(row: dict[Any, Any]) -> dict[str, Any] | RowError:
    if None in row:
        return RowError("(the whole row)", f"more values than columns; left over: {row[None]!r:.60}")
    if broken := [name for name, text in row.items() if text and not text.isascii() and _is_escaped(text)]:
        return RowError(broken[0], "not UTF-8")
    return {name: text or None for name, text in row.items()}


def _is_escaped(text: str) -> bool:
    """Whether a text holds bytes that were no UTF-8."""
    return any("\udc80" <= letter <= "\udcff" for letter in text)


def _table(file: Path) -> Iterator[Raw]:
    import pyarrow as pa

    number = 0
    try:
        with _open(file) as stream:
            for batch in _record_batches(stream, format_of(file)):
                batch.validate(full=True)  # a damaged file must not be read beyond its end
                for row in batch.to_pylist():
                    number += 1
                    yield Origin(str(file), number), row
    except (pa.ArrowException, ValueError, OverflowError, MemoryError) as error:  # lengths may be damaged too
        raise DataError(f"{file}: no readable {format_of(file)} file: {error}") from error


def _record_batches(stream: Any, kind: str) -> Iterable[Any]:
    """Record batches of a parquet file, or of an Arrow file or stream (what `datasets` writes)."""
    import pyarrow as pa
    import pyarrow.parquet

    if kind == ".parquet":
        return pa.parquet.ParquetFile(stream).iter_batches(batch_size=1024)
    magic = stream.read(6)
    stream.seek(0)
    if magic != b"ARROW1":
        return pa.ipc.open_stream(stream)
    table = pa.ipc.open_file(stream)
    return (table.get_batch(i) for i in range(table.num_record_batches))


_READERS = {".jsonl": _jsonl, ".json": _json, ".csv": _csv, ".parquet": _table, ".arrow": _table}


def _open(file: Path) -> Any:
    return gzip.open(file, "rb") if file.suffix == ".gz" else file.open("rb")


def _mapping(row: Any) -> dict[str, Any] | RowError:
    return (
        row
        if isinstance(row, dict)
        else RowError("(the whole row)", f"expected an object, found {row!r:.60}")
    )
