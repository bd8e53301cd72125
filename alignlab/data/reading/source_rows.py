"""Rows of a source: from files, from the hub, or made by the source itself."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from alignlab.data.pipeline import VERSION, stored
from alignlab.data.reading import data_files, files, hub_rows
from alignlab.data.reading.examples import Report, converted, generated, takes_rows
from alignlab.data.reading.rows import Convert
from alignlab.data.spec import SPLITS, DataSpec
from alignlab.data.tables.identity import digest, identity
from alignlab.data.tables.table import ExampleTable
from alignlab.errors import ConfigError, DataError
from alignlab.types import Example

Open = Callable[[], Iterable[files.Raw]]


def source_rows(spec: DataSpec, cache_dir: Path, report: Report) -> dict[str, ExampleTable]:
    """Checked rows by split; no validation where the source has none of its own.

    Kept on disk under the names, sizes and dates of the files and all that decides how they are read.
    """
    if spec.source is None:
        raise ConfigError(f"data '{spec.name}' has neither a source nor parts")
    if not takes_rows(spec.source):
        return {split: _made(spec, spec.source, split, cache_dir, report) for split in SPLITS}
    tables = {}
    for split, (version, open_) in _splits(spec).items():
        make = partial(_read, spec, spec.source, open_)
        key = digest(VERSION, version, spec.on_bad_row, spec.group_by, identity(spec.source))
        tables[split] = stored(cache_dir, key, make, report, f"{spec.name}, {split}")
    return tables


def _read(spec: DataSpec, convert: Convert, open_: Open, report: Report) -> Iterator[Example]:
    root = str(Path(spec.path).expanduser()) if spec.path else ""
    root = root if Path(root).is_dir() else str(Path(root).parent)
    rows = files.grouped(open_(), spec.group_by) if spec.group_by else open_()
    return converted(rows, convert, report, skip_bad=spec.on_bad_row == "skip", root=root)


def _made(
    spec: DataSpec, source: Callable[..., Iterable[Example]], split: str, cache_dir: Path, report: Report
) -> ExampleTable:
    size = spec.limit_of(split)
    if size is None:
        raise ConfigError(
            f"data '{spec.name}' makes its own rows: say how many (data.limit, data.limit_validation)"
        )
    key = digest(VERSION, identity(source), split, size)

    def make(account: Report) -> Iterator[Example]:
        return generated(source(split=split, size=size), account)

    return stored(cache_dir, key, make, report, f"{spec.name}, {split}", size)


def _splits(spec: DataSpec) -> dict[str, tuple[Any, Open]]:
    """What tells the rows of each split from all others, and how to read them."""
    if spec.path is None:
        if spec.hub is None:
            raise DataError(f"data '{spec.name}' is read from files: set data.path=/my/file-or-folder")
        found: dict[str, tuple[Any, Open]] = {}
        for split in SPLITS:
            if spec.hub["splits"].get(split):
                table = hub_rows.table(spec.hub, split)
                found[split] = (hub_rows.version(table), partial(hub_rows.rows, table, spec.hub["path"]))
        return found
    every = data_files.data_files(spec.path)
    names = spec.hub["splits"] if spec.hub else {}
    chosen = {split: data_files.split_files(every, split, names.get(split)) for split in SPLITS}
    chosen["validation"] = [file for file in chosen["validation"] if file not in chosen["train"]]
    chosen = {split: group for split, group in chosen.items() if group}
    chosen = chosen if "train" in chosen else {"train": every}
    return {
        split: ([_version(file) for file in group], partial(files.read, group))
        for split, group in chosen.items()
    }


def _version(file: Path) -> tuple[str, int, int]:
    """Name, size and date of a file."""
    state = file.stat()
    return str(file.resolve()), state.st_size, state.st_mtime_ns
