"""Raw rows of local files: jsonl, json, csv, parquet and arrow, gzip included."""

import csv
import gzip
import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from alignlab.data.rows import Origin, RowError, located
from alignlab.errors import DataError

Raw = tuple[Origin, dict[str, Any] | RowError]
"""A row, or what is wrong with it (a broken line does not end the file)."""

FORMATS = (".jsonl", ".json", ".csv", ".parquet", ".arrow")
SPLIT_WORDS = {"train": ("train",), "validation": ("validation", "valid", "val", "dev", "eval", "test")}


def data_files(path: str) -> list[Path]:
    """The data files of a file or folder (searched deeply), in sorted order."""
    root = Path(path)
    if not root.exists():
        raise DataError(f"data.path={path}: no such file or folder")
    found = [root] if root.is_file() else sorted(p for p in root.rglob("*") if p.is_file())
    files = [p for p in found if _format(p) in FORMATS]
    if not files:
        raise DataError(f"data.path={path}: no data files there (looked for {', '.join(FORMATS)}, also .gz)")
    return files


def split_files(files: Sequence[Path], split: str, named: str | None = None) -> list[Path]:
    """Files of a split: those whose name has the split's own name in it, or a common word for it."""
    for words in ([named] if named else [], SPLIT_WORDS[split]):
        chosen = [p for p in files if any(_has_word(p.name, word) for word in words)]
        if chosen:
            return chosen
    return []


def read(files: Iterable[Path]) -> Iterator[Raw]:
    """All rows of the files in order."""
    for file in files:
        yield from _READERS[_format(file)](file)


def _jsonl(file: Path) -> Iterator[Raw]:
    with _open(file) as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            origin = Origin(str(file), number)
            try:
                row = json.loads(line.decode("utf-8"))
            except json.JSONDecodeError as error:
                yield origin, RowError("(the whole line)", f"broken JSON: {error}")
            except UnicodeDecodeError as error:
                yield origin, RowError("(the whole line)", f"not UTF-8: {error}")
            else:
                yield origin, _mapping(row)


def _json(file: Path) -> Iterator[Raw]:
    with _open(file) as stream:
        try:
            rows = json.loads(stream.read().decode("utf-8"))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise located(
                RowError("(the whole file)", f"broken JSON: {error}"), Origin(str(file), 1), ""
            ) from error
    if not isinstance(rows, list):
        raise DataError(
            f"{file}: expected a list of rows, found {type(rows).__name__}; one row a line is .jsonl"
        )
    for number, row in enumerate(rows, start=1):
        yield Origin(str(file), number), _mapping(row)


def _csv(file: Path) -> Iterator[Raw]:
    with _open(file) as stream:
        try:
            for number, row in enumerate(
                csv.DictReader(io.TextIOWrapper(stream, "utf-8", newline="")), start=1
            ):
                yield Origin(str(file), number), dict(row)
        except (UnicodeDecodeError, csv.Error) as error:
            raise DataError(f"{file}: no readable UTF-8 csv: {error}") from error


def _table(file: Path) -> Iterator[Raw]:
    import datasets
    import pyarrow as pa

    kind = {".parquet": datasets.Dataset.from_parquet, ".arrow": datasets.Dataset.from_file}[_format(file)]
    try:
        rows = kind(str(file))
    except (pa.ArrowInvalid, OSError, datasets.exceptions.DatasetGenerationError) as error:
        raise DataError(f"{file}: no readable {_format(file)} file: {error}") from error
    for number, row in enumerate(rows, start=1):
        yield Origin(str(file), number), row


_READERS = {".jsonl": _jsonl, ".json": _json, ".csv": _csv, ".parquet": _table, ".arrow": _table}


def _format(file: Path) -> str:
    return (Path(file.stem) if file.suffix == ".gz" else file).suffix.lower()


def _open(file: Path) -> Any:
    return gzip.open(file, "rb") if file.suffix == ".gz" else file.open("rb")


def _has_word(name: str, word: str) -> bool:
    return re.search(rf"(^|[^a-z]){re.escape(word.lower())}([^a-z]|$)", name.lower()) is not None


def _mapping(row: Any) -> dict[str, Any] | RowError:
    return (
        row
        if isinstance(row, dict)
        else RowError("(the whole row)", f"expected an object, found {row!r:.60}")
    )
