"""A progress bar on a terminal; one line per interval in a log file."""

import logging
import sys
from typing import Any

import lightning as L
from rich.progress import Progress, TaskID

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
    """Steps done and to do, time left, and the figures people watch."""

    def __init__(self, every_n_steps: int) -> None:
        self.every_n_steps = every_n_steps
        self._bar: Progress | None = None
        self._task = TaskID(0)

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Open the bar where there is a terminal."""
        if sys.stderr.isatty():
            self._bar = bar()
            self._bar.start()
            done, steps = trainer.global_step, trainer.max_steps
            self._task = self._bar.add_task("training", total=steps, completed=done, figures="")

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *_: Any) -> None:
        """Show the latest figures."""
        assert isinstance(module, PreferenceModule)
        latest, step = module.latest_step, trainer.global_step
        text = "  ".join(form.format(latest[name]) for name, form in FIGURES.items() if name in latest)
        if self._bar is not None:
            self._bar.update(self._task, completed=step, figures=text)
        elif step % self.every_n_steps == 0 or step == trainer.max_steps:
            log.info("step %d/%d  %s", step, trainer.max_steps, text)

    def on_train_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Close the bar."""
        if self._bar is not None:
            self._bar.stop()

    def on_exception(self, trainer: L.Trainer, module: L.LightningModule, exception: BaseException) -> None:
        """Close the bar."""
        self.on_train_end(trainer, module)
