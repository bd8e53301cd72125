"""The checkpoints of a stage: written whole or not at all, verified before use, the newest and the best stay."""

import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any

from lightning.fabric.plugins import CheckpointIO
from torch import Tensor

from alignlab import disk, ranks
from alignlab.errors import RunError
from alignlab.runs.folder import write_text
from alignlab.training.checkpointing import tensor_file

log = logging.getLogger(__name__)

Write = Callable[[Path, tensor_file.Flat], Mapping[str, str]]
"""A function that writes a state into a new file or folder. It returns the SHA-256 of each file by its name within the
folder; the name of a single file is empty.
"""


def one_file(path: Path, flat: tensor_file.Flat) -> dict[str, str]:
    """Write the whole state into one file; returns its SHA-256 under an empty name."""
    return {"": tensor_file.write(path, flat)}


class Checkpoints(CheckpointIO):
    """The folder `checkpoints/` of a stage, which Lightning writes to and reads from.

    `step-000025.ckpt` has its SHA-256 beside it (`sha256sum -c` reads it); `last.ckpt` and `best.ckpt`
    are links. The newest `keep` stay, and the best one. With `background` a copy is taken and written
    by a thread, while training goes on. Where ranks hold parts of the model, all of them write, and
    a checkpoint is a folder, with the SHA-256 of each file.
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
        """Write a checkpoint.

        `storage_options` are `best` (it is the best so far), `then` (called once it is written) and `write` (a `Write`,
        where it is no single file).
        """
        self.join()
        tree, tensors = tensor_file.flatten(checkpoint)
        if self.background:
            copied = {name: tensor.to("cpu", copy=True) for name, tensor in tensors.items()}
            write = partial(self._write, Path(path), (tree, copied), **storage_options)
            self._writing = Thread(target=self._noting_failure, args=(write,), daemon=True)
            self._writing.start()
        else:
            self._write(Path(path), (tree, tensors), **storage_options)

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

    def _noting_failure(self, write: Callable[[], None]) -> None:
        try:
            write()
        except BaseException as failure:
            self._failure = failure

    def _write(
        self,
        file: Path,
        flat: tuple[Any, dict[str, Tensor]],
        *,
        best: bool,
        then: Callable[[], None],
        write: Write = one_file,
    ) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        partial = file.with_name(file.name + ".partial")
        try:
            digests = write(partial, flat)
            if not ranks.main():
                return
            lines = [f"{digest}  {Path(file.name, name)}\n" for name, digest in digests.items()]
            write_text(hash_file(file), "".join(lines))
            disk.remove(file)
            os.replace(partial, file)
            for name in ("last", "best") if best else ("last",):
                _point(self.folder / f"{name}.ckpt", file.name)
        finally:
            if ranks.main():
                disk.remove(partial)  # half a file on a full disk takes room from the rest
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
    known = [line.partition("  ") for line in hash_file(file).read_text(encoding="utf-8").splitlines()]
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


def _point(link: Path, target: str) -> None:
    """Make a link point to `target`; one that is there is replaced in one step."""
    fresh = link.with_name(link.name + ".partial")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    os.replace(fresh, link)
