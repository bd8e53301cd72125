"""The logger of TensorBoard: event files in the run folder; `tensorboard --logdir outputs` shows all runs."""

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
"""The folder of event files within a run folder."""
SHOWN_SAMPLES = 16


class TensorBoardLog(Logger):
    """A logger that writes one scalar for every metric, named as in metrics.csv; `rewind` hides later steps.

    Raises ConfigError without the tensorboard package.
    """

    def __init__(self, folder: Path, config: str) -> None:
        super().__init__()
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ConfigError(
                "logger=tensorboard needs the tensorboard package: pip install -e '.[tensorboard]'"
            ) from error
        self.folder, self.config, self._make = folder, config, SummaryWriter
        self._writer: Any = None

    @property
    def name(self) -> str:
        """The name of the logger."""
        return "tensorboard"

    @property
    def version(self) -> str:
        """The version of the logger, which is empty: a run has one folder."""
        return ""

    def log_hyperparams(self, *_: Any, **__: Any) -> None:
        """Do nothing: the settings are logged as text when the file is opened."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Add one scalar for every metric."""
        if self._writer is None:
            self.rewind(-1 if step is None else step - 1)
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, step)

    def rewind(self, step: int) -> None:
        """Continue in a new file, which hides the later steps of the old ones."""
        self.finalize("rewound")
        self._writer = self._make(str(self.folder), purge_step=step + 1)
        self._writer.add_text("config", f"```yaml\n{self.config}\n```", max(step, 0))

    def save(self) -> None:
        """Write buffered events to disk."""
        if self._writer is not None:
            self._writer.flush()

    def finalize(self, status: str) -> None:
        """Close the event file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def make_tensorboard(*, tracked_run: TrackedRun) -> TensorBoardLog:
    """Return the logger of event files in the run folder, with the config as a text."""
    config = yaml.safe_dump(dict(tracked_run.config), sort_keys=False)
    return TensorBoardLog(tracked_run.folder.path / FOLDER, config)


def log_samples(folder: RunFolder) -> None:
    """Log the first samples of a run as text, if it has TensorBoard files; a failure is only warned of."""
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
    """Return a row as markdown in which text of the model is indented as code, so that none of it has a meaning."""
    blocks = []
    for name in ("prompt", "before", "after"):
        reward = row.get(f"reward_{name}")
        title = f"**{name}**" + (f", reward {reward:.2f}" if reward is not None else "")
        blocks += [title, "\n".join(f"    {line}" for line in str(row[name]).splitlines() or [""])]
    return "\n\n".join(blocks)
