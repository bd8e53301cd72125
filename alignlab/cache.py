"""The cache on disk: entries are folders that appear whole or not at all, and are checked before they are believed."""

import json
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from alignlab import disk
from alignlab.errors import RunError

log = logging.getLogger(__name__)

CONTENTS = "contents.json"
"""The file of an entry that lists its other files, each with its size in bytes and its SHA-256."""
FULL_CHECK = 2**30
"""The size in bytes up to which an entry is hashed whenever it is opened; beyond it, sizes alone are compared."""


def entry(place: Path, build: Callable[[Path], None]) -> Path:
    """Return the entry at a place: as it is there, where it is whole, or else as `build` writes it now.

    `build` gets the path of a folder to make. Jobs that want the same entry wait for the first of them. A whole entry
    takes no lock and no write, so that a cache may be read-only. A damaged one is built again, with a warning.
    Raises RunError where an entry has to be built and the cache cannot be written.
    """
    if problem(place) is None:
        return place
    with locked(place):
        if rebuilt(place):
            with aside(place) as partial:
                build(partial)
    return place


def problem(place: Path) -> str | None:
    """Return what is wrong with the entry at a place, "missing" where there is none; None where it is whole."""
    if not os.path.lexists(place):
        return "missing"
    try:
        contents = json.loads((place / CONTENTS).read_text(encoding="utf-8"))
        named = {name: (fact["bytes"], fact["sha256"]) for name, fact in contents.items()}
    except FileNotFoundError:
        return f"it has no {CONTENTS}"
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        return f"{CONTENTS} cannot be read: {error}"
    try:
        sizes = {file.name: file.stat().st_size for file in place.iterdir() if file.name != CONTENTS}
        if sizes != {name: size for name, (size, _) in named.items()}:
            return "its files are not those that were written"
        if sum(sizes.values()) <= FULL_CHECK:
            changed = [name for name, (_, digest) in named.items() if disk.sha256(place / name) != digest]
            return f"{changed[0]} is not as it was written" if changed else None
    except OSError as error:
        return f"it cannot be read: {error}"
    return None


def rebuilt(place: Path) -> bool:
    """Whether the entry has to be built; warns where one is there and is damaged. The lock of the entry is held."""
    trouble = problem(place)
    if trouble not in (None, "missing"):
        log.warning("%s is damaged (%s): it is made again", place, trouble)
    return trouble is not None


@contextmanager
def aside(place: Path) -> Iterator[Path]:
    """Yield the path of a folder to make, which then becomes the entry, in one step and lasting.

    The folder is removed where making it raises an error.
    """
    partial = place.with_name(f"{place.name}.partial")
    disk.remove(partial)
    try:
        yield partial
        _seal(partial)
    except Exception:
        disk.remove(partial)
        raise
    disk.remove(place)
    os.replace(partial, place)
    disk.sync(place.parent)


@contextmanager
def locked(place: Path, reason: str = "") -> Iterator[None]:
    """Hold the lock by which one job at a time builds an entry; RunError where the cache cannot be written.

    The error says what is missing: by `reason`, or the entry itself.
    """
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(f"{place}.lock")
        lock.acquire()
    except OSError as error:
        raise RunError(
            f"{reason or f'{place} is {_said(problem(place))}'}, and the cache cannot be written: {error}. Choose "
            "another one: cache_dir=<folder>"
        ) from error
    try:
        yield
    finally:
        lock.release()


def _said(trouble: str | None) -> str:
    return "missing" if trouble in (None, "missing") else f"damaged ({trouble})"


def _seal(folder: Path) -> None:
    """Write the list of a folder's files into it, and see that all of it is on the disk."""
    files = sorted(folder.iterdir())
    contents = {file.name: {"bytes": file.stat().st_size, "sha256": disk.sha256(file)} for file in files}
    (folder / CONTENTS).write_text(json.dumps(contents), encoding="utf-8")
    for path in (*files, folder / CONTENTS, folder):
        disk.sync(path)
