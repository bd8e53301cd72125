"""The checkpoints of a stage: written whole or not at all, verified before use, the newest and the best stay."""

import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any

from lightning.fabric.plugins import CheckpointIO

from alignlab import disk, ranks
from alignlab.errors import RunError
from alignlab.runs.folder import write_text
from alignlab.training.checkpointing import tensor_file

log = logging.getLogger(__name__)

Hashes = Callable[[], Mapping[str, str]]
"""A function that brings what was written onto the disk, and returns the SHA-256 of each file by its name within the
folder; the name of a single file is empty.
"""
Write = Callable[[Path, tensor_file.Flat], Hashes]
"""A function that writes a state into a new file or folder. What it returns can be called while training goes on."""


def one_file(path: Path, flat: tensor_file.Flat) -> Hashes:
    """Write the whole state into one file."""
    tensor_file.write(path, flat)
    return lambda: {"": disk.lasting(path)}


class Checkpoints(CheckpointIO):
    """The folder `checkpoints/` of a stage, which Lightning writes to and reads from.

    `step-000025.ckpt` has its SHA-256 beside it (`sha256sum -c` reads it); `last.ckpt` and `best.ckpt`
    are links. The newest `keep` stay, and the best one. Training waits while a checkpoint is written; a thread
    brings it onto the disk, hashes it and gives it its name. With `background` that thread writes it, too, from a
    copy. Where ranks hold parts of the model, all of them write, and a checkpoint is a folder, with the SHA-256 of
    each file.
    """

    def __init__(self, folder: Path, *, keep: int = 2, background: bool = False) -> None:
        self.folder, self.keep, self.background = folder, keep, background
        self._writing: Thread | None = None
        self._failure: BaseException | None = None

    def path(self, step: int) -> Path:
        """Return the path of the checkpoint of a step."""
        return self.folder / f"step-{step:06d}.ckpt"

    def newest(self) -> Path | None:
        """Return the newest checkpoint that is whole, with a warning for damaged ones; None where there is none."""
        for file in self._all():
            if (problem := damage(file)) is None:
                return file
            log.warning("%s %s: going back to the checkpoint before it", file, problem)
        return None

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a checkpoint; it is there once `join` returns.

        `storage_options` are `best` (it is the best so far), `then` (called once it is there) and `write` (a `Write`,
        where it is no single file).
        """
        self.join()
        file, options = Path(path), dict(storage_options)
        write = partial(self._write, file, options.pop("write", one_file))
        tree, tensors = tensor_file.flatten(checkpoint)
        if self.background:
            copied = {name: tensor.to("cpu", copy=True) for name, tensor in tensors.items()}
            self._start(lambda: self._seal(file, write((tree, copied)), **options))
        else:
            self._start(partial(self._seal, file, write((tree, tensors)), **options))

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint. It holds no code, so that reading is always `weights_only`."""
        if Path(path).is_dir():
            raise RunError(
                f"{path} was written by ranks that share the model: go on with the strategy that wrote it"
            )
        state: dict[str, Any] = tensor_file.read(Path(path))
        return state

    def remove_checkpoint(self, path: Any) -> None:
        """Delete a checkpoint and the file with its hash."""
        disk.remove(Path(path))
        hash_file(Path(path)).unlink(missing_ok=True)

    def join(self) -> None:
        """Wait for the checkpoint that is being written; raises the error of the writing, if it failed."""
        if self._writing is not None:
            self._writing.join()
        failure, self._writing, self._failure = self._failure, None, None
        if failure is not None:
            raise failure

    def mark(self, name: str, step: int) -> None:
        """Make the link `<name>.ckpt` point to the checkpoint of a step, if that exists."""
        if self.path(step).exists():
            _point(self.folder / f"{name}.ckpt", self.path(step).name)

    def _start(self, work: Callable[[], None]) -> None:
        """Do work in a thread, which `join` waits for."""

        def noting_failure() -> None:
            try:
                work()
            except BaseException as failure:
                self._failure = failure

        self._writing = Thread(target=noting_failure, daemon=True)
        self._writing.start()

    def _write(self, file: Path, write: Write, flat: tensor_file.Flat) -> Hashes:
        """Write a checkpoint beside its place."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with _removed_where_it_fails(_beside(file)):
            return write(_beside(file), flat)

    def _seal(self, file: Path, hashes: Hashes, *, best: bool, then: Callable[[], None]) -> None:
        """Put a checkpoint that is written in its place, once it is on the disk and its hash is known."""
        with _removed_where_it_fails(_beside(file)):
            digests = hashes()
            if not ranks.main():
                return
            lines = [f"{digest}  {Path(file.name, name)}\n" for name, digest in digests.items()]
            write_text(hash_file(file), "".join(lines))
            disk.remove(file)
            os.replace(_beside(file), file)
            for name in ("last", "best") if best else ("last",):
                _point(self.folder / f"{name}.ckpt", file.name)
        disk.sync(self.folder)
        then()
        self._prune()

    def _prune(self) -> None:
        """Delete checkpoints that are neither among the newest nor the best, and half-written files."""
        links = {link.readlink().name for link in self.folder.glob("*.ckpt") if link.is_symlink()}
        for file in list(self._all())[self.keep :]:
            if file.name not in links:
                self.remove_checkpoint(file)
        for left in self.folder.glob("*.partial"):
            disk.remove(left)

    def _all(self) -> Iterator[Path]:
        """Yield all checkpoints, the newest first."""
        files = [path for path in self.folder.glob("step-*.ckpt") if re.fullmatch(r"step-\d+", path.stem)]
        yield from sorted(files, key=step_of, reverse=True)


def damage(file: Path) -> str | None:
    """Return what is wrong with a checkpoint (a file or a folder); None where it is whole."""
    if not hash_file(file).is_file():
        return "has no hash beside it"
    text = hash_file(file).read_text(encoding="utf-8", errors="replace")
    known = [line.partition("  ") for line in text.splitlines()]
    for digest, _, name in known:
        part = file.parent / name
        if not part.is_file() or disk.sha256(part) != digest:
            return "is torn (its hash differs)"
    return None if known else "is torn (its hash is empty)"


def step_of(file: Path) -> int:
    """Return the step of a checkpoint from its file name."""
    return int(file.resolve().stem.removeprefix("step-"))


def hash_file(file: Path) -> Path:
    """Return the path of the file that holds the hash of a checkpoint."""
    return file.with_name(file.name + ".sha256")


def _beside(file: Path) -> Path:
    """Return the path at which a checkpoint is written before it has its place."""
    return file.with_name(file.name + ".partial")


@contextmanager
def _removed_where_it_fails(half: Path) -> Iterator[None]:
    """Remove what is half done where an error ends its writing: on a full disk it takes room from the rest."""
    try:
        yield
    except BaseException:
        if ranks.main():
            disk.remove(half)
        raise


def _point(link: Path, target: str) -> None:
    """Make a link point to `target`; one that is there is replaced in one step."""
    fresh = link.with_name(link.name + ".partial")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    os.replace(fresh, link)
