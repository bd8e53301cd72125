"""Rows of parquet and Arrow files, and of folders that `Dataset.save_to_disk` wrote."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from alignlab.data.reading.data_files import format_of
from alignlab.data.reading.raw import Raw, opened
from alignlab.data.reading.rows import Origin
from alignlab.errors import DataError

BATCH = 1024
"""The number of rows that are in memory at once."""


def table_rows(file: Path) -> Iterator[Raw]:
    """The rows of a parquet or Arrow file; DataError for a damaged one."""
    import pyarrow as pa

    number = 0
    try:
        with opened(file) as stream:
            for batch in _record_batches(stream, format_of(file)):
                if len(set(names := batch.schema.names)) < len(names):
                    twice = next(name for name in names if names.count(name) > 1)
                    raise DataError(f"{file}: two columns are named '{twice}'")
                batch.validate(full=True)  # a damaged file must not be read beyond its end
                for row in batch.to_pylist():
                    number += 1
                    yield Origin(str(file), number), row
    except (pa.ArrowException, ValueError, OverflowError, MemoryError) as error:  # lengths may be damaged too
        raise DataError(f"{file}: no readable {format_of(file)} file: {error}") from error


def saved_rows(folder: Path) -> Iterator[Raw]:
    """The rows of a saved dataset, in its own order, whatever else lies in its folder; DataError for a damaged one."""
    import datasets
    import pyarrow as pa

    number = 0
    try:
        dataset = datasets.load_from_disk(str(folder))
        dataset.data.table.validate(full=True)
        for table in dataset.with_format("arrow").iter(batch_size=BATCH):
            for row in table.to_pylist():
                number += 1
                yield Origin(str(folder), number), row
    except (pa.ArrowException, OSError, LookupError, TypeError, ValueError, OverflowError) as error:
        raise DataError(f"{folder}: no readable dataset of save_to_disk: {error}") from error


def _record_batches(stream: Any, kind: str) -> Iterable[Any]:
    """Record batches of a parquet file, or of an Arrow file or stream."""
    import pyarrow as pa
    import pyarrow.parquet

    if kind == ".parquet":
        return pa.parquet.ParquetFile(stream).iter_batches(batch_size=BATCH)
    magic = stream.read(6)
    stream.seek(0)
    if magic != b"ARROW1":
        return pa.ipc.open_stream(stream)
    table = pa.ipc.open_file(stream)
    return (table.get_batch(i) for i in range(table.num_record_batches))
