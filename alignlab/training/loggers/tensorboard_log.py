"""TensorBoard: event files in the run folder; `tensorboard --logdir outputs` shows all runs."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from lightning.pytorch.loggers.logger import Logger

from alignlab.errors import ConfigError
from alignlab.runs.folder import RunFolder
from alignlab.training.loggers.tracked_run import TrackedRun

log = logging.getLogger(__name__)


FOLDER = "tensorboard"
"""Of a run folder."""
SHOWN_SAMPLES = 16


class TensorBoardLog(Logger):
    """One scalar a metric, under its name in metrics.csv. `rewind` hides what came later.

    Raises ConfigError without the tensorboard package.
    """

    def __init__(self, folder: Path, config: str) -> None:
        super().__init__()
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ConfigError(
                "logger=tensorboard needs the tensorboard package: pip install 'alignlab[tensorboard]'"
            ) from error
        self.folder, self.config, self._make = folder, config, SummaryWriter
        self._writer: Any = None

    @property
    def name(self) -> str:
        """Name of the logger."""
        return "tensorboard"

    @property
    def version(self) -> str:
        """One run, one folder."""
        return ""

    def log_hyperparams(self, *_: Any, **__: Any) -> None:
        """Settings are logged as text when the file is opened."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Add a scalar a metric."""
        if self._writer is None:
            self.rewind(-1 if step is None else step - 1)
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, step)

    def rewind(self, step: int) -> None:
        """Go on in a new file, which hides what the old ones say of later steps."""
        self.finalize("rewound")
        self._writer = self._make(str(self.folder), purge_step=step + 1)
        self._writer.add_text("config", f"```yaml\n{self.config}\n```", max(step, 0))

    def save(self) -> None:
        """Bring what is buffered to disk."""
        if self._writer is not None:
            self._writer.flush()

    def finalize(self, status: str) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def make_tensorboard(*, tracked_run: TrackedRun) -> TensorBoardLog:
    """The logger of event files in the run folder, with the config as a text."""
    told = yaml.safe_dump(dict(tracked_run.config), sort_keys=False)
    return TensorBoardLog(tracked_run.folder.path / FOLDER, told)


def log_samples(folder: RunFolder) -> None:
    """The first samples of a run as text, where it has TensorBoard files; what cannot be written is warned of."""
    events, rows = folder.path / FOLDER, folder.read_lines("samples.jsonl")
    if not events.is_dir() or not rows:
        return
    try:
        from torch.utils.tensorboard import SummaryWriter

        with SummaryWriter(str(events)) as writer:
            for number, row in enumerate(rows[:SHOWN_SAMPLES]):
                steps = folder.read_json("summary.json")["steps"]
                writer.add_text(f"samples/{number}", _as_text(row), steps)
    except Exception as error:
        log.warning("tensorboard: samples are missing from the run (%s)", error)


def _as_text(row: Mapping[str, Any]) -> str:
    """Markdown in which no text of the model has a meaning: every line is indented, so that it is code."""
    told = []
    for name in ("prompt", "before", "after"):
        reward = row.get(f"reward_{name}")
        title = f"**{name}**" + (f", reward {reward:.2f}" if reward is not None else "")
        told += [title, "\n".join(f"    {line}" for line in str(row[name]).splitlines() or [""])]
    return "\n\n".join(told)
