"""Hashes of files, remembered in the cache, so that a large file which did not change is hashed once."""

import hashlib
import os
import time
from contextlib import suppress
from pathlib import Path

from alignlab import disk

SETTLED = 2.0
"""The age in seconds from which on a file that changes again gets another time; the hash of a younger one is not kept.
"""


def file_digest(file: Path, memory: Path | None = None) -> str:
    """Return the SHA-256 of a file; that of a file which is unchanged is read from the folder `memory`.

    A file counts as unchanged while its path, size, inode and both its times (of its content and of its inode, in
    nanoseconds) are what they were.
    """
    before = _facts(file)
    place = None if memory is None else memory / hashlib.sha256(str(file.resolve()).encode()).hexdigest()
    if place and (known := _recalled(place, before)):
        return known
    digest = disk.sha256(file)
    changed = max(file.stat().st_mtime, file.stat().st_ctime)
    if place and before == _facts(file) and time.time() - changed > SETTLED:
        _remember(place, _line(before, digest))
    return digest


def _facts(file: Path) -> str:
    status = file.stat()
    numbers = status.st_size, status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns
    return " ".join(map(str, (*numbers, file.resolve())))


def _line(facts: str, digest: str) -> str:
    """Return what is remembered of a file: its hash, and one over that and all facts, which damage does not survive."""
    return f"{digest} {hashlib.sha256(f'{facts} {digest}'.encode()).hexdigest()}"


def _recalled(place: Path, facts: str) -> str | None:
    with suppress(OSError, ValueError):
        line = place.read_text(encoding="ascii")
        digest = line.partition(" ")[0]
        return digest if line == _line(facts, digest) else None
    return None


def _remember(place: Path, line: str) -> None:
    """Write a line to its place, whole or not at all; a cache that cannot be written remembers, and keeps, nothing."""
    partial = place.with_name(f"{place.name}.{os.getpid()}")
    with suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            partial.write_text(line, encoding="ascii")
            os.replace(partial, place)
        finally:
            partial.unlink(missing_ok=True)
