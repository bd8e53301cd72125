"""Writes and opens the folder of a tokenized split: flat .npy files, written as rows come, memory-mapped on opening."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from itertools import chain, count
from pathlib import Path
from typing import Any

import numpy as np

from alignlab import disk
from alignlab.data.encoding.token_rows import KEY, Array, Lists, RowIds, TokenRows, list_key
from alignlab.data.encoding.tokenize import Ids, Tokens
from alignlab.types import Example

FACTS = "facts.json"
TOKENS = ("prompts", "responses", "members", "own_prompts")
"""The columns that decide which tokens there are, and where."""
RATIONALES = ("rationale_prompts", "rationales")


class Column:
    """A flat .npy file that grows as values are added; `close` writes its length into the header."""

    def __init__(self, file: Path, kind: str) -> None:
        self.kind, self.count = np.dtype(kind), 0
        self._stream = file.open("wb")
        self._header()

    def add(self, values: Array) -> None:
        """Append values to the file."""
        self._stream.write(np.ascontiguousarray(values, self.kind).data)
        self.count += len(values)

    def close(self) -> None:
        """Write the final header, so that `numpy.load` can read the file."""
        self._stream.seek(0)
        self._header()
        self._stream.close()

    def _header(self) -> None:
        facts = {"descr": self.kind.str, "fortran_order": False, "shape": (self.count,)}
        np.lib.format.write_array_header_1_0(self._stream, facts)


class Ragged:
    """A file of ragged lists: a column of all values, and one of the offsets at which lists begin."""

    def __init__(self, folder: Path, name: str, kind: str = "i4") -> None:
        self.values, self.offsets = (
            Column(folder / f"{name}.npy", kind),
            Column(folder / f"{name}.offsets.npy", "i8"),
        )
        self.offsets.add(np.zeros(1))

    def add(self, lists: Sequence[Ids | bytes]) -> None:
        """Append lists to both files."""
        ends = self.values.count + np.cumsum([*map(len, lists)], dtype=np.int64)
        self.offsets.add(ends)
        self.values.add(np.fromiter(chain.from_iterable(lists), self.values.kind))

    def close(self) -> None:
        """Close both files, so that `numpy.load` can read them."""
        self.values.close()
        self.offsets.close()


Row = tuple[int, Example, Tokens]
"""A row to write: its number among the examples, the example, and its tokens."""


class Writer:
    """Writes the folder of a tokenized split chunk by chunk, so that memory does not grow with the rows."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self._lists = {name: Ragged(folder, name) for name in (*TOKENS, *RATIONALES)}
        self._lists["ids"] = Ragged(folder, "ids", "u1")
        kinds = {
            "keys": KEY,
            "places": "i8",
            "labels": "f8",
            "rewards": "f8",
            "weights": "f8",
            "highest": "i4",
        }
        self._columns = {name: Column(folder / f"{name}.npy", kind) for name, kind in kinds.items()}

    def add(self, rows: Sequence[Row]) -> None:
        """Append rows to all columns."""
        places, examples, tokens = [*zip(*rows, strict=True)] if rows else ((), (), ())
        responses = [ids for row in tokens for ids in row.responses]
        numbers = count(self._columns["labels"].count)
        own = [row.prompts if len(row.prompts) > 1 else [[]] * len(row.responses) for row in tokens]
        lists: dict[str, Sequence[Ids | bytes]] = {
            "ids": [e.id.encode() for e in examples],
            "prompts": [row.prompt for row in tokens],
            "responses": responses,
            "members": [[next(numbers) for _ in row.responses] for row in tokens],
            "own_prompts": [ids for prompts in own for ids in prompts],
            "rationale_prompts": [row.rationale[0] for row in tokens],
            "rationales": [row.rationale[1] for row in tokens],
        }
        columns: dict[str, Iterable[Any]] = {
            "keys": (list_key(row.prompts, row.responses) for row in tokens),
            "places": places,
            "labels": chain.from_iterable(e.labels for e in examples),
            "rewards": chain.from_iterable(e.rewards or [] for e in examples),
            "weights": (e.weight for e in examples),
            "highest": (max(map(max, filter(None, (*row.prompts, *row.responses)))) for row in tokens),
        }
        for name, column in lists.items():
            self._lists[name].add(column)
        for name, values in columns.items():
            self._columns[name].add(np.fromiter(values, self._columns[name].kind))

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, failure: type[BaseException] | None, *_: object) -> None:
        """Close all files, and remove those of optional columns without values."""
        needed_columns = {name: self._lists[name].values.count > 0 for name in ("own_prompts", *RATIONALES)}
        needed_columns["rewards"] = 0 < self._columns["rewards"].count == self._columns["labels"].count
        for column in self._lists.values():
            column.close()
        for flat in self._columns.values():
            flat.close()
        if failure:
            return
        for name in (name for name, needed in needed_columns.items() if not needed):
            for file in self.folder.glob(f"{name}.*npy"):
                file.unlink()
        (self.folder / FACTS).write_text(json.dumps({"tokens": _hash(self.folder)}), encoding="utf-8")


def open_rows(folder: Path, examples: Sequence[Example]) -> TokenRows:
    """Open a folder that `Writer` wrote; `examples` are those it was made of."""

    def column(name: str) -> Any:
        return np.load(folder / f"{name}.npy", mmap_mode="r").view(np.ndarray)

    def lists(name: str) -> Lists | None:
        return Lists(column(name), column(f"{name}.offsets")) if (folder / f"{name}.npy").is_file() else None

    members = Lists(column("members"), column("members.offsets"))
    asked, reasons = (lists(name) for name in RATIONALES)
    rewards = Lists(column("rewards"), members.offsets) if (folder / "rewards.npy").is_file() else None
    return TokenRows(
        examples=examples,
        places=column("places"),
        ids=RowIds(Lists(column("ids"), column("ids.offsets"))),
        prompts=Lists(column("prompts"), column("prompts.offsets")),
        responses=Lists(column("responses"), column("responses.offsets")),
        members=members,
        labels=Lists(column("labels"), members.offsets),
        rewards=rewards,
        weights=column("weights"),
        highest=column("highest"),
        rationales=(asked, reasons) if asked and reasons else None,
        own_prompts=lists("own_prompts"),
        stored_keys=column("keys"),
        content=json.loads((folder / FACTS).read_text(encoding="utf-8"))["tokens"],
    )


def _hash(folder: Path) -> str:
    """The hash of the files that hold the tokens."""
    digest = hashlib.sha256()
    for name in TOKENS:
        for file in sorted(folder.glob(f"{name}.*npy")):
            digest.update(bytes.fromhex(disk.sha256(file)))
    return digest.hexdigest()
