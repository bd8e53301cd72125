"""Disks that are small, full or read-only, by mounts that nobody else sees and that end with this program."""

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

INSIDE = "ALIGNLAB_CHAOS_MOUNTS"
"""The environment variable that says that mounts of this process are its own."""
ROOM = 300_000
"""The bytes that are left free on a full disk, at most: a few checkpoints, or less than one."""


def enter_own_mounts() -> None:
    """Start this program once more where its mounts are its own; does nothing where the system allows none."""
    as_root = [] if os.geteuid() == 0 else ["--map-root-user"]
    apart = ["unshare", "--mount", *as_root]
    try:
        allowed = subprocess.run([*apart, "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        allowed = False
    if allowed and INSIDE not in os.environ:
        os.environ[INSIDE] = "1"
        os.execvp("unshare", [*apart, sys.executable, *sys.argv])


def has_mounts() -> bool:
    """Whether mounts can be made."""
    return INSIDE in os.environ


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[None]:
    """A disk of that size in the place of a folder, while the context lasts."""
    folder.mkdir(parents=True)
    _mount("-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder))
    with _unmounted_after(folder):
        yield


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Nothing can be written to a folder while the context lasts: by a mount, or else by its permissions."""
    if has_mounts():
        _mount("--bind", str(folder), str(folder))
        with _unmounted_after(folder):
            _mount("-o", "remount,ro,bind", str(folder))
            yield
    else:
        for path in (*folder.rglob("*"), folder):
            path.chmod(path.stat().st_mode & ~0o222)
        yield


def fill(folder: Path, chance: random.Random) -> None:
    """Fill the disk of a folder up, but for some room drawn at random."""
    room = chance.randrange(ROOM)
    with _filler(folder).open("wb") as stream:
        while True:
            status = os.statvfs(folder)
            try:
                os.posix_fallocate(stream.fileno(), 0, max(1, status.f_bavail * status.f_frsize - room))
            except OSError:  # the run wrote meanwhile
                continue
            return


def free(folder: Path) -> None:
    """Take away what filled the disk of a folder."""
    _filler(folder).unlink(missing_ok=True)


def _filler(folder: Path) -> Path:
    return folder / ".filler"


def _mount(*words: str) -> None:
    subprocess.run(["mount", *words], check=True)


@contextmanager
def _unmounted_after(folder: Path) -> Iterator[None]:
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
