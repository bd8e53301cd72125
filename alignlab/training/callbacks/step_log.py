"""A log of steps for measurements from outside: one json line for every event, written to disk at once."""

import json
import time
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import LambdaCallback

from alignlab.training.module import PreferenceModule
from alignlab.training.peak import peaks


class StepLog(L.Callback):
    """A callback that appends events to a file, in this order:

        {"event": "ref", "t": s}                                    the reference pass took s seconds
        {"event": "ready"}                                          the first step can begin
        {"event": "step", "i": 1, "dt": s, "cpu": s, "lists": 16, "loss": 0.69}   one a step, numbered from 1
        {"event": "done", "hwm": MB}                                peak memory of the process so far

    A step lasts from the end of the one before (from "ready" for the first) until its weights are
    updated, so that making its batch counts. `cpu` is the time of all threads of this process. On a
    GPU, "done" has a field `gpu`, the peak of its memory.

    Stands before all other callbacks, so that none of them is in a step; what they do behind a step
    (validation, checkpoints) is in none either if `others_done` stands behind them all.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._began: tuple[float, float] | None = None

    @property
    def others_done(self) -> L.Callback:
        """Return the callback that starts the clock of the next step, to stand behind all other callbacks."""
        return LambdaCallback(on_train_batch_end=lambda *_: self._begin())

    def reference_pass(self, seconds: float) -> None:
        """Record the seconds that the reference pass took; almost none where its scores came from the cache."""
        self._append("ref", t=seconds)

    def on_train_epoch_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Record that all is set up, the first validation included."""
        self._append("ready")
        self._begin()

    def on_train_batch_start(self, trainer: L.Trainer, module: L.LightningModule, *_: Any) -> None:
        """Start the clock of a step where the end of the step before did not."""
        if self._began is None:
            self._begin()

    def on_train_batch_end(
        self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Record the step."""
        assert isinstance(module, PreferenceModule)
        assert self._began is not None
        if module.device.type == "cuda":
            torch.cuda.synchronize(module.device)
        wall, cpu = (now - then for now, then in zip(_clocks(), self._began, strict=True))
        self._began = None
        lists = sum(len(part.ids) for part in batch.step)
        loss = module.latest_step["loss"]
        self._append("step", i=trainer.global_step, dt=wall, cpu=cpu, lists=lists, loss=loss)

    def on_train_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Record the peak of memory."""
        memory = peaks(module.device)
        gpu = {"gpu": memory["gpu_memory_mb"]} if "gpu_memory_mb" in memory else {}
        self._append("done", hwm=memory["memory_mb"], **gpu)

    def _begin(self) -> None:
        self._began = _clocks()

    def _append(self, event: str, **values: Any) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"event": event, **values}) + "\n")


def _clocks() -> tuple[float, float]:
    """Return the wall time and the CPU time of all threads, in seconds."""
    return time.perf_counter(), time.process_time()
