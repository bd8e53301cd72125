"""Examples in an Arrow file, read where they lie: memory does not grow with their number."""

import json
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
CHUNK = 1024
"""Rows of a record batch."""
JSON = ("prompt", "responses", "meta")
"""Columns whose values are nested, and kept as JSON."""
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
    """The rows of a folder that `write_table` made; `fingerprint` tells them from all others."""

    def __init__(self, folder: Path, fingerprint: str = "") -> None:
        self.folder, self.fingerprint = folder, fingerprint or folder.name
        file = pa.ipc.open_file(pa.memory_map(str(folder / FILE)))
        self._batches = [file.get_batch(i) for i in range(file.num_record_batches)]
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
        """Batch by batch from the file, not from its map: rows that were passed take no memory."""
        with pa.OSFile(str(self.folder / FILE)) as stream:
            file = pa.ipc.open_file(stream)
            for number, batch in enumerate(self._batches):
                yield from _examples(file.get_batch(number).slice(0, batch.num_rows))

    @cached_property
    def sizes(self) -> NDArray[Any]:
        """Responses of each row."""
        sizes = [np.diff(batch.column("labels").offsets.to_numpy()) for batch in self._batches]
        return np.concatenate(sizes) if sizes else np.zeros(0, dtype=np.int64)

    @property
    def rated(self) -> bool:
        """Whether every row has the raw scores of its responses."""
        return not any(batch.column("rewards").null_count for batch in self._batches)

    @property
    def ids(self) -> list[str]:
        """Ids of all rows."""
        return [name for batch in self._batches for name in batch.column("id").to_pylist()]

    def first(self, size: int | None) -> "ExampleTable":
        """The table, or its first rows alone."""
        if size is None or size >= len(self):
            return self
        head = ExampleTable(self.folder, f"{self.fingerprint}-{size}")
        counts = [batch.num_rows for batch in head._batches]
        starts = np.concatenate([[0], np.cumsum(counts)])[: len(counts)]
        head._batches = [
            batch.slice(0, size - start)
            for batch, start in zip(head._batches, starts, strict=True)
            if start < size
        ]
        head._ends = np.cumsum([batch.num_rows for batch in head._batches], dtype=np.int64)
        return head


class Chosen(Sequence[Example]):
    """Some rows of a table, in an order of their own."""

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
        """In one go over the rows where their order is kept, which is faster than one by one."""
        places = np.asarray(self.places)
        if len(places) > 1 and bool((np.diff(places) > 0).all()):
            wanted = np.zeros(len(self.rows), dtype=bool)
            wanted[places] = True
            return compress(self.rows, wanted)
        return (self.rows[int(place)] for place in places)


def write_table(
    folder: Path, examples: Iterable[Example], track: Callable[[int], None] = lambda _: None
) -> int:
    """Save examples as they come, and give their number."""
    folder.mkdir(parents=True, exist_ok=True)
    total = 0
    with pa.OSFile(str(folder / FILE), "wb") as stream, pa.ipc.new_file(stream, SCHEMA) as file:
        for chunk in chunks(examples, CHUNK):
            file.write_batch(_batch(chunk))
            total += len(chunk)
            track(len(chunk))
    return total


def chunks(examples: Iterable[Example], size: int) -> Iterator[list[Example]]:
    """The examples in lists of `size`; the last may be shorter."""
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
