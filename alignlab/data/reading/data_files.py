"""Which files of a folder hold rows, and of which split. Reads none of them."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from alignlab.errors import DataError

FORMATS = (".jsonl", ".json", ".csv", ".parquet", ".arrow")
SPLIT_WORDS: dict[str, list[tuple[str, ...]]] = {
    "train": [("train",)],
    "validation": [("validation", "valid", "val", "dev"), ("eval",), ("test",)],
}
"""The words that name a split in file names, the first choice first."""
BOOKKEEPING = ("state.json", "dataset_info.json", "dataset_infos.json", "dataset_dict.json")
"""Files that the library `datasets` writes beside its data, which hold no rows."""


def data_files(path: str) -> list[Path]:
    """The data files at a path, sorted: the file itself, or all below a folder but hidden ones; DataError for none."""
    root = Path(path).expanduser()
    if not root.exists():
        raise DataError(f"data.path={path}: no such file or folder")
    candidates = (
        [root] if root.is_file() else sorted(p for p in root.rglob("*") if p.is_file() and _is_data(p, root))
    )
    files = [p for p in candidates if is_data_file(p.name)]
    if not files:
        raise DataError(f"data.path={path}: no data files there (looked for {', '.join(FORMATS)}, also .gz)")
    return files


def is_data_file(name: str) -> bool:
    """Whether a file name has an ending of one of the `FORMATS`, gzip included."""
    return format_of(Path(name)) in FORMATS


def split_files(files: Sequence[Path], split: str, named: str | None = None) -> list[Path]:
    """The files of a split: those whose path holds the name `named`, or else a common word for the split.

    The path is the one below the folder that all files share. Test files serve as validation files where there
    are no others. The list is empty where no file is of the split.
    """
    shared = Path(os.path.commonpath([p.parent for p in files]))
    own = [(named,)] if named else []
    for words in [*own, *SPLIT_WORDS[split]]:
        chosen = [p for p in files if any(_has_word(str(p.relative_to(shared)), word) for word in words)]
        if chosen:
            return chosen
    return []


def format_of(file: Path) -> str:
    """The ending that tells how a file is read, without that of gzip."""
    return (Path(file.stem) if file.suffix == ".gz" else file).suffix.lower()


def _is_data(file: Path, root: Path) -> bool:
    hidden = any(part.startswith(".") for part in file.relative_to(root).parts)
    return not hidden and file.name not in BOOKKEEPING


def _has_word(name: str, word: str) -> bool:
    return re.search(rf"(^|[^a-z]){re.escape(word.lower())}([^a-z]|$)", name.lower()) is not None
