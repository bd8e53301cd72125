"""Which files and saved datasets below a path hold rows. Reads no row of them."""

import json
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from alignlab.errors import DataError

FORMATS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".arrow")
PACKED = (".zip", ".tar", ".tgz", ".zst", ".bz2", ".xz", ".7z", ".rar", ".lz4")
"""Endings of archives and compressions that may hold rows, and are not unpacked here."""
SHEETS = (".xlsx", ".xls", ".ods", ".numbers")
"""Endings of spreadsheets, which may hold rows, and are read where they are saved as csv."""
BOOKKEEPING = ("state.json", "dataset_info.json", "dataset_infos.json", "dataset_dict.json")
"""Files that the library `datasets` writes beside its data, which hold no rows."""
CACHE_FILE = re.compile(r"cache-[0-9a-f]{16}.*\.arrow")
"""The files in which `datasets` keeps the results of map, filter and shuffle; they are no part of the dataset."""


@dataclass(frozen=True)
class Found:
    """What lies at a path: what can be read, and files beside it that may hold rows and cannot be read."""

    sources: list[Path]
    """Data files, and folders that `Dataset.save_to_disk` wrote, sorted."""
    root: Path
    """The folder above all of them, as the path gives it; names below it tell their splits."""
    unreadable: list[Path]
    explicit: bool
    """Whether every source was named itself, and none was found in a folder."""


def data_files(path: str | Sequence[str]) -> Found:
    """The data files and saved datasets at a path, or at several: each itself, or all below a folder but hidden ones.

    Raises DataError where there is none, with what lies there instead, and where a folder cannot be read.
    """
    roots = [Path(one).expanduser() for one in ([path] if isinstance(path, str) else path)]
    if not roots:
        raise DataError("data.path=[]: the list is empty")
    try:
        each = [_found(root, str(root)) for root in roots]
    except OSError as error:
        raise DataError(f"data.path: {error.filename} cannot be read: {error.strerror}") from error
    if len(each) == 1:
        return each[0]
    sources = [source.absolute() for found in each for source in found.sources]
    if twice := [source for source, count in Counter(sources).items() if count > 1]:
        raise DataError(f"data.path: {twice[0]} is named twice")
    return Found(
        sources,
        Path(os.path.commonpath([root.absolute().parent for root in roots])),
        [file.absolute() for found in each for file in found.unreadable],
        all(found.explicit for found in each),
    )


def is_data_file(name: str) -> bool:
    """Whether a file name has an ending of one of the `FORMATS`, gzip included."""
    return format_of(Path(name)) in FORMATS


def format_of(file: Path) -> str:
    """The ending that tells how a file is read, without that of gzip."""
    return (Path(file.stem) if file.suffix == ".gz" else file).suffix.lower()


def is_saved_dataset(folder: Path) -> bool:
    """Whether `Dataset.save_to_disk` wrote this folder."""
    try:
        state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(state, dict) and "_data_files" in state


def _found(root: Path, shown: str) -> Found:
    if not root.exists():
        raise DataError(f"data.path={shown}: no such file or folder{_of_another_kind(shown)}")
    if root.is_file() and not is_data_file(root.name):
        raise DataError(f"data.path={shown}: {_why_not(root)}")
    if root.is_file() or is_saved_dataset(root):
        return Found([root], root.parent, [], explicit=True)
    sources, others = list[Path](), list[Path]()
    for place in _walk(root):
        (sources if place.is_dir() or is_data_file(place.name) else others).append(place)
    if not sources:
        raise DataError(f"data.path={shown}: no data files there{_instead(root, others)}")
    unreadable = [file for file in others if format_of(file) in (*PACKED, *SHEETS)]
    return Found(sorted(sources), root, sorted(unreadable), explicit=False)


def _of_another_kind(path: str) -> str:
    """What a path that leads nowhere may be meant as, with the way to say that; an empty text for others."""
    if re.search(r"[*?]", path):
        return "; a pattern is not expanded: give a folder, or a list of files as in 'data.path=[a.jsonl,b.jsonl]'"
    if re.fullmatch(r"[\w.-]+/[\w-][\w.-]*", path) and not is_data_file(path):
        return (
            "; a data set of the hub is read by its own data=NAME, or from a folder of its files (as "
            f"'hf download {path} --repo-type dataset --local-dir my_data' makes one)"
        )
    return ""


def _walk(folder: Path, above: tuple[Path, ...] = ()) -> Iterator[Path]:
    """The files below a folder that are not hidden, links followed, and saved datasets as one."""
    if is_saved_dataset(folder):
        yield folder
        return
    above = (*above, folder.resolve())
    try:
        inside = sorted(folder.iterdir())
    except OSError as error:
        raise DataError(f"data.path: {folder} cannot be read: {error.strerror}") from error
    for place in inside:
        if place.name.startswith(".") or place.name in BOOKKEEPING or CACHE_FILE.fullmatch(place.name):
            continue
        if place.is_dir():
            if place.resolve() not in above:
                yield from _walk(place, above)
        elif place.is_file():
            yield place


def _instead(root: Path, others: Sequence[Path]) -> str:
    """What lies in a folder without data files, and what would be looked for."""
    for file in others:
        if format_of(file) in (*PACKED, *SHEETS):
            return f"; {file.relative_to(root)}: {_why_not(file)}"
    hidden = sorted(place.name for place in root.iterdir() if place.name.startswith("."))
    names = [str(file.relative_to(root)) for file in others] or [f"{name} (hidden)" for name in hidden]
    there = f"; the folder holds {', '.join(names[:3])}{', ...' if len(names) > 3 else ''}" if names else ""
    return f" (looked for {', '.join(FORMATS)}, also .gz){there or '; the folder is empty'}"


def _why_not(file: Path) -> str:
    ending = format_of(file)
    if ending in PACKED:
        return f"{ending} files are not unpacked here: unpack it, and give the file or folder inside"
    if ending in SHEETS:
        return f"{ending} files are not read: save the sheet as csv in UTF-8"
    return f"no data files there: files that end in {', '.join(FORMATS)} are read, also with .gz"
