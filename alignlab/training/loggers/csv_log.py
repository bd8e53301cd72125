"""metrics.csv: a row a report, kept over resumes (Lightning's own logger starts the file anew)."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import lightning as L
from lightning.pytorch.loggers.logger import Logger

from alignlab.runs.folder import write_text
from alignlab.training.loggers.tracked_run import TrackedRun


class CsvLog(Logger):
    """Appends each report as a row; a new metric widens the file. `rewind` forgets what came later."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.file = file
        self.fields = self._read()[0] or ["step"]

    @property
    def name(self) -> str:
        """Name of the logger."""
        return "csv"

    @property
    def version(self) -> str:
        """One run, one file."""
        return ""

    def log_hyperparams(self, *_: Any, **__: Any) -> None:
        """Settings are in config.yaml."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Add one row."""
        row = {"step": step, **metrics}
        new = [name for name in row if name not in self.fields]
        if new or not self.file.is_file():
            self.fields += new
            self._write([*self._read()[1], row])
            return
        with self.file.open("a", newline="", encoding="utf-8") as stream:
            csv.DictWriter(stream, self.fields).writerow(row)

    def rewind(self, step: int) -> None:
        """Keep the rows up to `step` alone: later ones will be made again."""
        if self.file.is_file():
            self._write([row for row in self._read()[1] if int(row["step"]) <= step])

    def _read(self) -> tuple[list[str], list[dict[str, Any]]]:
        """Fields and rows; a line without its end was torn by a kill, and is left out."""
        if not self.file.is_file():
            return [], []
        whole = self.file.read_bytes().rpartition(b"\n")[0].decode("utf-8")
        reader = csv.DictReader(io.StringIO(whole, newline=""))
        return list(reader.fieldnames or []), list(reader)

    def _write(self, rows: list[dict[str, Any]]) -> None:
        text = io.StringIO()
        writer = csv.DictWriter(text, self.fields)
        writer.writeheader()
        writer.writerows(rows)
        write_text(self.file, text.getvalue())


def make_csv(*, tracked_run: TrackedRun) -> CsvLog:
    """The logger of metrics.csv in the run folder."""
    return CsvLog(tracked_run.folder.metrics)


@runtime_checkable
class Rewindable(Protocol):
    """A logger that can take back."""

    def rewind(self, step: int) -> None:
        """Forget what came after this step."""


class Rewind(L.Callback):
    """Before the first step: loggers forget what was reported after the checkpoint, if any."""

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Runs before the other callbacks report anything."""
        for logger in trainer.loggers:
            if isinstance(logger, Rewindable):
                logger.rewind(trainer.global_step or -1)
