"""The bytes of gzip files, and bounds on what is read at once: a small file may hold more than any memory."""

import gzip
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from alignlab.errors import DataError
from alignlab.free_memory import free_memory

LONGEST = 2**28
"""The bytes, or characters, of the longest line or cell that is read."""
TIMES, AT_LEAST = 200, 2**24
"""How many times its own size a gzip file may inflate to, beyond the first 16 MB. Texts inflate to 3 to 30 times it."""
PART = 2**24
"""The bytes of a JSON text that are read at once."""
SPREAD = 8
"""How many times its own size a JSON text takes in memory, as objects."""


class Unpacked(io.RawIOBase):
    """The unpacked bytes of a gzip file; DataError where they are too many for any data."""

    def __init__(self, file: Path) -> None:
        self._file, self._packed = file, file.open("rb")
        self._stream = gzip.GzipFile(fileobj=self._packed)

    def readinto(self, buffer: Any) -> int:
        """Read bytes into a buffer; returns how many."""
        count = self._stream.readinto(buffer)
        inflated = self._stream.tell()
        if inflated > AT_LEAST and inflated > TIMES * self._packed.tell():
            raise DataError(
                f"{self._file}: it inflates to more than {TIMES} times its size, as no data does; if that is what it "
                "should hold, unpack it (gunzip) and give the file inside"
            )
        return count

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def seekable(self) -> bool:
        """Say that it can be read from anywhere."""
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a place in the unpacked bytes."""
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        """Return the place in the unpacked bytes."""
        return self._stream.tell()

    def close(self) -> None:
        """Close the file."""
        self._packed.close()
        super().close()


def lines_of(stream: Any, file: Path) -> Iterator[Any]:
    """Yield the lines of a stream of bytes or text; DataError for one that is too long to be a row."""
    while line := stream.readline(LONGEST):
        if len(line) == LONGEST:
            raise DataError(f"{file}: a line of more than {LONGEST >> 20} MB, which is no row: mend the file")
        yield line


def whole(stream: Any, file: Path) -> bytes:
    """Return all bytes of a stream that holds one JSON text; DataError where its objects do not fit into memory."""
    most, parts = free_memory() // SPREAD, list[bytes]()
    while part := stream.read(PART):
        parts.append(part)
        if len(parts) * PART > max(most, PART):
            raise DataError(
                f"{file}: more than {most / 2**30:.1f} GB of JSON in one piece, which do not fit into memory: write "
                "one row a line, and name it .jsonl"
            )
    return b"".join(parts)
