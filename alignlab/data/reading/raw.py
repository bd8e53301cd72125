"""Raw rows, and the opening of the files that hold them."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from alignlab.data.reading.rows import Origin, RowError
from alignlab.data.reading.unpacked import Unpacked
from alignlab.errors import DataError

Raw = tuple[Origin, Mapping[str, Any] | RowError]
"""A row with its origin, or the error in its place: a broken line does not end the file."""

BLOCK = 2**17
"""The bytes of a gzip file that are unpacked at once."""
POINTER = b"version https://git-lfs"
NO_TEXT = {
    b"PK\x03\x04": "a zip archive or a spreadsheet: unpack it, or save the sheet as csv",
    b"\x1f\x8b": "packed with gzip: let its name end in .gz",
    b"\x28\xb5\x2f\xfd": "packed with zstd: unpack it",
    b"BZh": "packed with bzip2: unpack it",
    b"\xfd7zXZ": "packed with xz: unpack it",
    b"PAR1": "a parquet file: let its name end in .parquet",
    b"ARROW1": "an Arrow file: let its name end in .arrow",
    b"\xff\xfe": "UTF-16 text: save it as UTF-8",
    b"\xfe\xff": "UTF-16 text: save it as UTF-8",
}
"""The first bytes of files that are no UTF-8 text, and what to do about them."""


def opened(file: Path) -> Any:
    """The bytes of a file as a stream, unpacked where it is gzip; DataError for a mere pointer of Git LFS."""
    stream: Any = io.BufferedReader(Unpacked(file), BLOCK) if file.suffix == ".gz" else file.open("rb")
    if _first(stream, len(POINTER)) == POINTER:
        stream.close()
        raise DataError(f"{file}: a pointer of Git LFS stands in the place of the data: git lfs pull")
    return stream


def opened_text(file: Path) -> Any:
    """The bytes of a file that is to hold UTF-8 text; DataError where its first bytes are those of something else."""
    stream = opened(file)
    first = _first(stream, max(map(len, NO_TEXT)))
    for sign, problem in NO_TEXT.items():
        if first.startswith(sign):
            stream.close()
            raise DataError(f"{file}: it is {problem}")
    return stream


def _first(stream: Any, size: int) -> bytes:
    first: bytes = stream.read(size)
    stream.seek(0)
    return first
