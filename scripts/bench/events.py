"""The events of `callbacks=step_log`, for contenders that have no such callback."""

import json
import re
import time
from pathlib import Path
from typing import Any

import torch


class Events:
    """Appends json lines: ready, one line a step (from the end of the one before), done."""

    def __init__(self, file: str, device: str) -> None:
        self.file, self.device, self.steps = Path(file), device, 0
        self._began = (0.0, 0.0)

    def ready(self) -> None:
        self._append("ready")
        self._began = self._clocks()

    def step(self, lists: int, loss: float) -> None:
        self.steps += 1
        wall, cpu = (now - then for now, then in zip(self._clocks(), self._began, strict=True))
        self._append("step", i=self.steps, dt=wall, cpu=cpu, lists=lists, loss=loss)
        self._began = self._clocks()

    def done(self) -> None:
        status = Path("/proc/self/status").read_text()
        peak = int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 2**10
        on_gpu = self.device != "cpu"
        self._append(
            "done", hwm=peak, **({"gpu": torch.cuda.max_memory_allocated() / 2**20} if on_gpu else {})
        )

    def _clocks(self) -> tuple[float, float]:
        if self.device != "cpu":
            torch.cuda.synchronize()
        return time.perf_counter(), time.process_time()

    def _append(self, event: str, **values: Any) -> None:
        with self.file.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({"event": event, **values}) + "\n")
