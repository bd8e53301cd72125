"""The logger of metrics.csv: a row a report, continued by a resumed run (Lightning's own logger starts a new file)."""

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
    """A logger that appends each report as a row; a new metric adds a column, `rewind` removes later rows."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.file = file
        self.fields = self._read()[0] or ["step"]

    @property
    def name(self) -> str:
        """The name of the logger."""
        return "csv"

    @property
    def version(self) -> str:
        """The version of the logger, which is empty: a run has one file."""
        return ""

    def log_hyperparams(self, *_: Any, **__: Any) -> None:
        """Do nothing: the settings are in config.yaml."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Append a row with the metrics of a step."""
        row = {"step": step, **metrics}
        new = [name for name in row if name not in self.fields]
        if new or not self.file.is_file():
            self.fields += new
            self._write([*self._read()[1], row])
            return
        with self.file.open("a", newline="", encoding="utf-8") as stream:
            csv.DictWriter(stream, self.fields).writerow(row)

    def rewind(self, step: int) -> None:
        """Remove the rows after `step`, which a resumed run writes again."""
        if self.file.is_file():
            self._write([row for row in self._read()[1] if int(row["step"]) <= step])

    def _read(self) -> tuple[list[str], list[dict[str, Any]]]:
        """Return columns and rows of the file, without a last line that a kill has cut off."""
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
    """Return the logger of metrics.csv in the run folder."""
    return CsvLog(tracked_run.folder.metrics)


@runtime_checkable
class Rewindable(Protocol):
    """The protocol of a logger that can remove what it has logged."""

    def rewind(self, step: int) -> None:
        """Remove what was logged after this step."""


class Rewind(L.Callback):
    """A callback that has loggers remove, before the first step, what they logged after the checkpoint."""

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Rewind the loggers, before the other callbacks log anything."""
        for logger in trainer.loggers:
            if isinstance(logger, Rewindable):
                logger.rewind(trainer.global_step or -1)
