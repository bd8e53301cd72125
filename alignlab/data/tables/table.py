"""Tables of examples in a memory-mapped Arrow file, so that memory does not grow with their number."""

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from itertools import compress
from pathlib import Path
from typing import Any, overload

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from alignlab.types import Example

FILE = "rows.arrow"
FACTS = "facts.json"
"""What is told of each record batch of the file when it is written: the hash of its content, and its contrary rows."""
CHUNK = 1024
"""The number of rows of a record batch."""
JSON = ("prompt", "responses", "meta")
"""The columns whose values are nested, and stored as JSON."""
SCHEMA = pa.schema(
    {
        "id": pa.string(),
        **dict.fromkeys(JSON, pa.string()),
        "labels": pa.list_(pa.float64()),
        "rewards": pa.list_(pa.float64()),
        "weight": pa.float64(),
    }
)


class ExampleTable(Sequence[Example]):
    """The rows of a folder that `write_table` wrote; `fingerprint`, its name, identifies them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.fingerprint = folder, folder.name
        file = pa.ipc.open_file(pa.memory_map(str(folder / FILE)))
        self._batches = [file.get_batch(i) for i in range(file.num_record_batches)]
        self._facts: list[tuple[str, int]] = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        self._ends = np.cumsum([batch.num_rows for batch in self._batches], dtype=np.int64)

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> list[Example]: ...
    def __getitem__(self, index: int | slice) -> Example | list[Example]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        place = range(len(self))[index]
        number = int(np.searchsorted(self._ends, place, side="right"))
        batch = self._batches[number]
        first = place - (int(self._ends[number]) - batch.num_rows)
        return next(_examples(batch.slice(first, 1)))

    def __iter__(self) -> Iterator[Example]:
        """Iterate batch by batch over the file, not over its memory map: rows that were passed take no memory."""
        with pa.OSFile(str(self.folder / FILE)) as stream:
            file = pa.ipc.open_file(stream)
            for number, batch in enumerate(self._batches):
                yield from _examples(file.get_batch(number).slice(0, batch.num_rows))

    @cached_property
    def sizes(self) -> NDArray[Any]:
        """The number of responses of each row, `[rows]`."""
        counts = [np.diff(np.from_dlpack(batch.column("labels").offsets)) for batch in self._batches]
        return np.concatenate(counts) if counts else np.zeros(0, dtype=np.int64)

    @property
    def labels(self) -> NDArray[Any]:
        """The label of each response, `[responses]`, row after row."""
        parts = [np.from_dlpack(batch.column("labels").flatten()) for batch in self._batches]
        return np.concatenate(parts) if parts else np.zeros(0)

    @property
    def contrary(self) -> int:
        """The number of rows whose rewards rank the responses of the lowest label above all others."""
        return sum(contrary for _, contrary in self._facts)

    @property
    def label_range(self) -> tuple[float, float]:
        """The least and the largest label of all responses; of a table without rows, NaN."""
        labels = self.labels
        return (float(labels.min()), float(labels.max())) if len(labels) else (math.nan, math.nan)

    @property
    def rated(self) -> bool:
        """Whether every row has the raw scores of its responses."""
        return not any(batch.column("rewards").null_count for batch in self._batches)

    @property
    def ids(self) -> list[str]:
        """The ids of all rows, in order."""
        return [name for batch in self._batches for name in batch.column("id").to_pylist()]

    @property
    def content(self) -> str:
        """The SHA-256 of all that the rows hold, in order, wherever they were read from."""
        return hashlib.sha256(" ".join(digest for digest, _ in self._facts).encode()).hexdigest()


class Subset(Sequence[Example]):
    """The rows of a table at `places`, in that order, read when they are asked for."""

    def __init__(self, rows: Sequence[Example], places: Sequence[int] | NDArray[Any]) -> None:
        self.rows, self.places = rows, places

    def __len__(self) -> int:
        return len(self.places)

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> list[Example]: ...
    def __getitem__(self, index: int | slice) -> Example | list[Example]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        return self.rows[int(self.places[index])]

    def __iter__(self) -> Iterator[Example]:
        """Iterate in one pass over the table where the places ascend, which is faster than row by row."""
        places = np.asarray(self.places)
        if len(places) > 1 and bool((np.diff(places) > 0).all()):
            mask = np.zeros(len(self.rows), dtype=bool)
            mask[places] = True
            return compress(self.rows, mask)
        return (self.rows[int(place)] for place in places)


def _told(batch: pa.RecordBatch) -> tuple[str, int]:
    """Return the hash of all that the rows of a batch hold, and the number of rows that are contrary."""
    digest = hashlib.sha256()
    for column in batch.columns:
        digest.update(repr(column.to_pylist()).encode())
    lists = zip(batch.column("labels").to_pylist(), batch.column("rewards").to_pylist(), strict=True)
    return digest.hexdigest(), sum(_is_contrary(labels, rewards) for labels, rewards in lists if rewards)


def _is_contrary(labels: Sequence[float], rewards: Sequence[float]) -> bool:
    worst = [reward for label, reward in zip(labels, rewards, strict=True) if label == min(labels)]
    others = [reward for label, reward in zip(labels, rewards, strict=True) if label > min(labels)]
    return bool(others) and min(worst) > max(others)


def write_table(
    folder: Path, examples: Iterable[Example], track: Callable[[int], None] = lambda _: None
) -> int:
    """Write examples to a table as they come, and return their number; `track` is called with each number written."""
    folder.mkdir(parents=True, exist_ok=True)
    total, facts = 0, []
    with pa.OSFile(str(folder / FILE), "wb") as stream, pa.ipc.new_file(stream, SCHEMA) as file:
        for chunk in chunks(examples, CHUNK):
            batch = _batch(chunk)
            file.write_batch(batch)
            facts.append(_told(batch))
            total += len(chunk)
            track(len(chunk))
    (folder / FACTS).write_text(json.dumps(facts), encoding="utf-8")
    return total


def chunks(examples: Iterable[Example], size: int) -> Iterator[list[Example]]:
    """Cut the examples into chunks of `size`; the last may be shorter."""
    chunk: list[Example] = []
    for example in examples:
        chunk.append(example)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _batch(examples: Sequence[Example]) -> pa.RecordBatch:
    columns = {
        name: [
            json.dumps(getattr(e, name), ensure_ascii=False, default=str)
            if name in JSON
            else getattr(e, name)
            for e in examples
        ]
        for name in SCHEMA.names
    }
    return pa.RecordBatch.from_pydict(columns, schema=SCHEMA)


def _examples(batch: pa.RecordBatch) -> Iterator[Example]:
    columns = [batch.column(name).to_pylist() for name in SCHEMA.names]
    for values in zip(*columns, strict=True):
        row = dict(zip(SCHEMA.names, values, strict=True))
        yield Example(**{name: json.loads(value) if name in JSON else value for name, value in row.items()})
