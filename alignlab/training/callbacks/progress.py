"""The progress of a training: a bar on a terminal, one line every interval in a log file."""

import logging
import sys
import time
from typing import Any

import lightning as L
from rich.progress import Progress, TaskID

from alignlab import ranks
from alignlab.console import bar
from alignlab.training.module import PreferenceModule

log = logging.getLogger(__name__)

FIGURES = {
    "loss": "loss {:.4f}",
    "rewards/accuracy": "accuracy {:.2f}",
    "rewards/margin": "margin {:+.3f}",
    "tokens_per_second": "{:,.0f} tokens/s",
}


class TrainingProgress(L.Callback):
    """A callback that shows steps done, time left and the main metrics; `title` names the stage of several."""

    def __init__(self, every_n_steps: int, title: str = "") -> None:
        self.every_n_steps, self.title = every_n_steps, title
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self._began = (0, 0.0)

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Open the progress bar if the output is a terminal."""
        self._began = (trainer.global_step, time.perf_counter())
        if sys.stderr.isatty() and ranks.main():
            self._bar = bar()
            self._bar.start()
            done, steps = trainer.global_step, trainer.max_steps
            self._task = self._bar.add_task(self.title or "training", total=steps, completed=done, figures="")

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *_: Any) -> None:
        """Show the latest metrics."""
        assert isinstance(module, PreferenceModule)
        latest, step = module.latest_step, trainer.global_step
        text = "  ".join(form.format(latest[name]) for name, form in FIGURES.items() if name in latest)
        if self._bar is not None:
            self._bar.update(self._task, completed=step, figures=text)
        elif step % self.every_n_steps == 0 or step == trainer.max_steps:
            left = self._left(step, trainer.max_steps)
            where = f"{self.title} step {step}/{trainer.max_steps}".lstrip()
            log.info("%s  %s%s", where, text, left and f"  {left} left")

    def on_train_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Close the progress bar."""
        if self._bar is not None:
            self._bar.stop()

    def _left(self, step: int, steps: int) -> str:
        """Return the time that the remaining steps take at the pace so far; an empty text at the end."""
        first, began = self._began
        seconds = (time.perf_counter() - began) / max(step - first, 1) * (steps - step)
        return clock(seconds) if step < steps else ""

    def on_exception(self, trainer: L.Trainer, module: L.LightningModule, exception: BaseException) -> None:
        """Close the progress bar."""
        self.on_train_end(trainer, module)


def clock(seconds: float) -> str:
    """Return a duration as people read it.

    >>> clock(5.0), clock(75.0), clock(3700.0)
    ('0:05', '1:15', '1:01:40')
    """
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
