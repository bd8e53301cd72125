"""Checkpoints that can be trusted: written whole, at step boundaries, also when asked to stop."""

import os
import random
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)


class StraightToDisk(TorchCheckpointIO):
    """Writes as it goes; Lightning's own makes the whole file in memory first, another copy of everything."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """One `torch.save`; `Checkpoint` sees to it that half a file never takes the place of a whole one."""
        torch.save(checkpoint, path)


class Checkpoint(L.Callback):
    """Keeps `last.ckpt`: weights, optimizer, schedule, progress, random state.

    SIGTERM, SIGUSR1 and Ctrl-C save after the step at hand and end the run as interrupted; a second
    Ctrl-C ends it at once. Nothing is saved inside a signal handler.
    """

    def __init__(self, file: Path, every_n_steps: int, on_save: Callable[[int], None]) -> None:
        self.file, self.every_n_steps, self.on_save = file, every_n_steps, on_save
        self.stopped_by: int | None = None
        self._previous: dict[int, Any] = {}
        self._random: dict[str, Any] | None = None

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Listen for signals, and take up the random state of the checkpoint."""
        self._previous = {number: signal.signal(number, self._note) for number in SIGNALS}
        if self._random is not None:
            _set_random_state(self._random)

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *_: Any) -> None:
        """Save where it is due; stop where it was asked for."""
        step = trainer.global_step
        if step % self.every_n_steps == 0 or step == trainer.max_steps or self.stopped_by is not None:
            self._save(trainer)
            self.on_save(step)
        if self.stopped_by is not None:
            trainer.should_stop = True

    def on_train_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Give the signals back."""
        self._restore()

    def on_exception(self, trainer: L.Trainer, module: L.LightningModule, exception: BaseException) -> None:
        """Give the signals back."""
        self._restore()

    def state_dict(self) -> dict[str, Any]:
        """Travels in the checkpoint."""
        return {"random": _random_state()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Comes back from the checkpoint."""
        self._random = state_dict["random"]

    def _save(self, trainer: L.Trainer) -> None:
        partial = self.file.with_name(self.file.name + ".partial")
        self.file.parent.mkdir(parents=True, exist_ok=True)
        try:
            trainer.save_checkpoint(partial)
            with partial.open("rb") as stream:
                os.fsync(stream.fileno())
            os.replace(partial, self.file)
        finally:
            partial.unlink(missing_ok=True)  # half a file on a full disk takes room from the rest

    def _note(self, number: int, _: Any) -> None:
        if number == signal.SIGINT and self.stopped_by is not None:
            raise KeyboardInterrupt
        self.stopped_by = number

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}


def _random_state() -> dict[str, Any]:
    numpy: Any = np.random.get_state()
    name, keys, *rest = numpy
    return {
        "torch": torch.get_rng_state(),
        "python": random.getstate(),
        "numpy": [name, keys.tolist(), *rest],
    }


def _set_random_state(state: dict[str, Any]) -> None:
    torch.set_rng_state(state["torch"])
    version, keys, gauss = state["python"]
    random.setstate((version, tuple(keys), gauss))
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), *rest))
