"""What is done to files on disk in more than one room: their hash, their place on the disk, their end."""

import errno
import hashlib
import os
import shutil
from pathlib import Path


def sha256(file: Path) -> str:
    """Return the SHA-256 of a file, as hexadecimal digits."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sync(path: Path) -> None:
    """Bring a file, or the names and renames in a folder, onto the disk, where its file system can do that."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(handle)


def lasting(file: Path) -> str:
    """Bring a file onto the disk, and return its SHA-256."""
    sync(file)
    return sha256(file)


def remove(path: Path) -> None:
    """Remove a file, a link (not what it leads to) or a folder with all that is in it, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
