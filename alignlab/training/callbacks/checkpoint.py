"""The callback that writes checkpoints: where due, where the validation was best, and where the run is told to stop."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Literal

import lightning as L
import numpy as np
import torch

from alignlab import ranks
from alignlab.errors import RunError, nearest
from alignlab.training.callbacks.validation import Validation
from alignlab.training.checkpointing.checkpoints import Checkpoints
from alignlab.training.settings import CheckpointSpec
from alignlab.training.stop import Listener, Stopped

AUTO_STEPS = 25
"""The number of steps after which `every_n_steps=auto` saves where that is cheap."""
MOST_TIME = 0.02
"""The largest share of the training time that checkpoints take with `auto`."""
LONGEST = 600.0
"""The seconds of work after which `auto` saves, however long it takes."""


class Pace:
    """The rule by which checkpoints are due: every so many steps, or by what the last one cost.

    With `auto` they come every 25 steps, or later, where they would take more than 2 % of the time; at the latest after
    10 minutes.
    """

    def __init__(self, every: int | Literal["auto"], clock: Callable[[], float] = time.monotonic) -> None:
        self.every, self._clock = every, clock
        self._cost, self._since = 0.0, clock()

    def start(self) -> None:
        """Begin to count the time of work."""
        self._since = self._clock()

    def due(self, step: int) -> bool:
        """Whether a checkpoint is due after this step; all ranks must ask at the same time, and agree."""
        if self.every != "auto":
            return step % self.every == 0
        worked = self._clock() - self._since
        cheap = step % AUTO_STEPS == 0 and worked * MOST_TIME >= self._cost
        return bool(ranks.broadcast(cheap or worked >= LONGEST))

    @contextmanager
    def saving(self) -> Iterator[None]:
        """Measure how long the training waits for a checkpoint."""
        began = self._clock()
        yield
        self._since = self._clock()
        self._cost = self._since - began


class Checkpoint(L.Callback):
    """A callback that saves weights, optimizer, schedule, progress and random state, so that a run continues exactly.

    Where another callback ends the training (`trainer.should_stop`), it saves too, and a run that continues from
    there is at its end. SIGTERM, SIGUSR1 and Ctrl-C save after the step at hand and end the run as interrupted; a
    second Ctrl-C ends it at once. Nothing is saved inside a signal handler.
    """

    def __init__(
        self,
        files: Checkpoints,
        spec: CheckpointSpec,
        validation: Validation,
        listener: Listener,
        on_save: Callable[[int], None],
    ) -> None:
        self.files, self.spec, self.validation = files, spec, validation
        self.listener, self.on_save = listener, on_save
        self.pace = Pace(spec.every_n_steps)
        self._random: dict[str, Any] | None = None
        self._ended = False

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Listen for signals, and restore the random state where the run continues from a checkpoint."""
        self.listener.start()
        self.pace.start()
        if ranks.main() and self._is_best(
            trainer.global_step
        ):  # as validated just now, or in a run killed before it said so
            self.files.mark("best", trainer.global_step)
        if self._random is not None:
            set_random_state(self._random)
        trainer.should_stop = trainer.should_stop or self._ended

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *_: Any) -> None:
        """Save a checkpoint after this step if one is due, and stop the training if that was asked for."""
        step, best, stopped = trainer.global_step, self._is_best(trainer.global_step), self.listener.agreed()
        self._ended = trainer.should_stop
        last = self._ended or step == trainer.max_steps
        if best or stopped or last or self.pace.due(step):
            then = {"best": best, "then": lambda: self.on_save(step)}
            with self.pace.saving():
                trainer.save_checkpoint(self.files.path(step), storage_options=then)
        trainer.should_stop = trainer.should_stop or stopped is not None

    def on_train_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Wait for the last checkpoint to be written, and restore the signal handlers."""
        try:
            self.files.join()
        finally:
            self.listener.end()

    def on_exception(self, trainer: L.Trainer, module: L.LightningModule, exception: BaseException) -> None:
        """Wait for the checkpoint being written, unless all is to end at once; restore the signal handlers."""
        if not isinstance(exception, Stopped):
            with suppress(OSError, RunError):
                self.files.join()
        self.listener.end()

    def state_dict(self) -> dict[str, Any]:
        """Return the random state, and whether the training has ended, for the checkpoint."""
        return {"random": random_state(), "ended": self._ended}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the random state, and whether the training had ended, from a checkpoint."""
        self._random, self._ended = state_dict["random"], state_dict.get("ended", False)

    def _is_best(self, step: int) -> bool:
        """Whether this step was validated just now, and no step before was better; the start does not count."""
        history = {at: metrics for at, metrics in self.validation.history.items() if 0 < at <= step}
        if self.spec.best is None or step not in history:
            return False
        name = self.spec.best.removeprefix("val/")
        if name not in history[step]:
            raise RunError(
                f"callbacks.checkpoint.best={self.spec.best} is no validation metric: {nearest(name, history[step])}"
            )
        sign = 1 if self.spec.best_mode == "min" else -1
        return step == min(history, key=lambda at: (sign * history[at][name], at))


def random_state() -> dict[str, Any]:
    """Return the state of every random generator that a step may draw from: torch, CUDA, Python and numpy."""
    numpy: Any = np.random.get_state()
    name, keys, *rest = numpy
    return {
        "torch": torch.get_rng_state(),
        "cuda": _cuda_random_state(),
        "python": random.getstate(),
        "numpy": [name, keys.tolist(), *rest],
    }


def _cuda_random_state() -> torch.Tensor | None:
    """Return the random state of the current CUDA device; None where CUDA is not in use."""
    return torch.cuda.get_rng_state() if torch.cuda.is_initialized() else None  # type: ignore[no-untyped-call]


def set_random_state(state: dict[str, Any]) -> None:
    """Restore every random generator to a state that `random_state` returned."""
    torch.set_rng_state(state["torch"])
    if state["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])
    random.setstate(state["python"])
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), *rest))
