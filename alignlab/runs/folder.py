"""The run folder: where everything a run leaves behind goes, each file written whole or not at all."""

import fcntl
import json
import logging
import os
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alignlab import disk
from alignlab.errors import RunError

log = logging.getLogger(__name__)

VALIDATION_SCORES, MISTAKES = "validation_scores.jsonl", "mistakes.jsonl"
"""The files of a reward model's run: the scores of its latest validation, and its worst mistakes as text."""


@dataclass(frozen=True)
class RunFolder:
    """Paths of a run folder, and writes that never leave half a file."""

    path: Path
    writes: bool = True
    """Whether this process writes to the folder; one of several ranks does."""
    trusted: tuple[str, ...] = ()
    """The packages that the caller trusts to be run where the config in the folder names them (runs/trust.py)."""

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints."""
        return self.path / "checkpoints"

    @property
    def last_checkpoint(self) -> Path:
        """The newest checkpoint; it is there once the first one was written."""
        return self.checkpoints / "last.ckpt"

    @property
    def begun(self) -> bool:
        """Whether the folder holds work to go on with: a checkpoint of the run, or of one of its stages."""
        return any(any(self.path.glob(f"{where}checkpoints/*.ckpt")) for where in ("", "stages/*/"))

    @property
    def model(self) -> Path:
        """The exported Hugging Face folder."""
        return self.path / "model"

    @property
    def metrics(self) -> Path:
        """The csv file of all metrics, one row a report."""
        return self.path / "metrics.csv"

    @property
    def plots(self) -> Path:
        """The folder of the pictures."""
        return self.path / "plots"

    def nonfinite(self, rank: int) -> Path:
        """The folder in which a rank keeps batches whose loss was not finite."""
        return self.path / "nonfinite" / (f"rank-{rank}" if rank else "")

    def write_text(self, name: str, text: str) -> None:
        """Write a file atomically."""
        if self.writes:
            write_text(self.path / name, text)

    def write_json(self, name: str, value: Any) -> None:
        """Write a json file atomically."""
        self.write_text(name, json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")

    def write_lines(self, name: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Write a jsonl file atomically; no rows, no file."""
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        if text:
            self.write_text(name, text)

    def read_lines(self, name: str) -> list[dict[str, Any]]:
        """The rows of a jsonl file of the folder; none where there is no file. Damaged rows are left out, and told."""
        rows = [_object(line) for line in self.read_text(name).split("\n") if line]
        if None in rows:
            log.warning("%s is damaged: %d of its rows are left out", self.path / name, rows.count(None))
        return [row for row in rows if row is not None]

    def read_json(self, name: str) -> dict[str, Any]:
        """A json file of the folder; empty where there is none, and, with a warning, where it is damaged."""
        text = self.read_text(name)
        content = _object(text) if text else None
        if content is None and (self.path / name).is_file():
            log.warning("%s is damaged, and is taken as missing", self.path / name)
        return content or {}

    def read_text(self, name: str) -> str:
        """The text of a file of the folder; empty where there is none. Bytes that are no UTF-8 become marks."""
        file = self.path / name
        return file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""

    def update_summary(self, **values: Any) -> None:
        """Set some values of summary.json."""
        self.write_json("summary.json", {**self.read_json("summary.json"), **values})

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep the folder to this process; RunError at once where another one has it.

        The system holds the lock, not the file: it ends with the process, however that ends.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / ".lock").open("a+", encoding="utf-8") as file:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except (BlockingIOError, PermissionError) as error:
                file.seek(0)
                owner = file.read().strip() or "just begun"
                raise RunError(
                    f"another run ({owner}) is writing to {self.path}: wait for its end, or choose another folder with "
                    "output_dir=... or hydra.run.dir=..."
                ) from error
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}")
            file.flush()
            yield


def _object(text: str) -> dict[str, Any] | None:
    """The object that a text holds as json; None where it holds none."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def write_text(file: Path, text: str) -> None:
    """Write beside the file, then put it in place; the old file stays whole until then."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(file.name + ".partial")
    with partial.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(partial, file)
    disk.sync(file.parent)
