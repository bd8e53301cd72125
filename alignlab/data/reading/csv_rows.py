"""Rows of csv files, whatever divides their cells.

`csv` of the standard library reads them, and not `datasets`, whose reader (pandas) guesses types, takes texts such as
"NA" and "None" for missing ones, and knows no row that is broken.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from alignlab.data.reading.raw import Raw, opened_text
from alignlab.data.reading.rows import Origin, RowError
from alignlab.data.reading.unpacked import LONGEST, lines_of
from alignlab.errors import DataError

DELIMITERS = (",", ";", "\t", "|")
"""What may divide the cells; the one that divides the header into the most names does."""
csv.field_size_limit(LONGEST)  # a cell may hold a whole dialogue


def csv_rows(file: Path) -> Iterator[Raw]:
    """The rows of a csv file; empty cells count as missing, and a row that is no sound csv gives its error."""
    with opened_text(file) as stream:
        text = io.TextIOWrapper(stream, "utf-8-sig", errors="surrogateescape", newline="")
        delimiter, names = _header(file, text)
        text.seek(0)
        reader = csv.reader(lines_of(text, file), delimiter=delimiter, strict=True)
        number = -1  # the header is no row
        while True:
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                number += 1
                problem = f"broken csv: {error} (line {reader.line_num} of the file)"
                yield Origin(str(file), number), RowError("(the whole row)", problem)
                continue
            number += bool(cells)
            if cells and number:
                yield Origin(str(file), number), _row(names, cells)


def _header(file: Path, text: io.TextIOWrapper) -> tuple[str, list[str]]:
    """What divides the cells, and the names of the columns."""
    headers = {delimiter: _first_row(file, text, delimiter) for delimiter in DELIMITERS}
    delimiter = max(DELIMITERS, key=lambda delimiter: len(headers[delimiter]))
    names = headers[delimiter]
    if _is_escaped("".join(names)) or "\0" in "".join(names):
        raise DataError(f"{file}: the names of its columns are not UTF-8; save the file as UTF-8")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        called = f"are named '{twice[0]}'" if twice[0] else "have no name"
        raise DataError(f"{file}: two columns {called}: give each a name of its own in the first line")
    return delimiter, names


def _first_row(file: Path, text: io.TextIOWrapper, delimiter: str) -> list[str]:
    text.seek(0)
    try:
        return next((row for row in csv.reader(lines_of(text, file), delimiter=delimiter) if row), [])
    except csv.Error as error:
        raise DataError(f"{file}: no readable csv: {error}, in its first row") from error


def _row(names: Sequence[str], cells: Sequence[str]) -> dict[str, Any] | RowError:
    if len(cells) > len(names):
        left = list(cells[len(names) :])
        return RowError("(the whole row)", f"more values than columns; left over: {left!r:.60}")
    for name, cell in zip(names, cells, strict=False):
        if not cell.isascii() and _is_escaped(cell):
            return RowError(name, "not UTF-8")
    padded = [*cells, *[""] * (len(names) - len(cells))]
    return {name: cell or None for name, cell in zip(names, padded, strict=True)}


def _is_escaped(text: str) -> bool:
    """Whether a text holds bytes that were no UTF-8."""
    return any("\udc80" <= letter <= "\udcff" for letter in text)
