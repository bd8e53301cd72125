"""Run the command line as a user does: another process, another folder, nothing but what it prints and writes."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.repository import ROOT

SMALL = (
    "evaluation=none",
    "model.loader.steps=20",
    "model.loader.hidden_size=16",
    "model.loader.layers=1",
    "model.loader.heads=2",
    "data.limit=96",
    "data.limit_validation=16",
    "data.lists_per_step=8",
)
"""The embedded default, made to take a second or two."""
TIMED = ("train/tokens_per_second", "val/tokens_per_second", "train/memory_mb")


def environment(cache: Path) -> dict[str, str]:
    """One thread, a cache of the tests' own, and no account anywhere."""
    keep = {k: v for k, v in os.environ.items() if not k.startswith(("WANDB", "HF_"))}
    return {**keep, "OMP_NUM_THREADS": "1", "ALIGNLAB_CACHE": str(cache), "WANDB_SILENT": "true"}


def train(*overrides: str, cwd: Path, cache: Path, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "train.py"), *overrides],
        cwd=cwd,
        env=environment(cache),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def signalled(number: int, step: int, *overrides: str, run: Path, cache: Path) -> int:
    """Start a run, send it a signal once it has reported that step, and give its exit code."""
    run.parent.mkdir(parents=True, exist_ok=True)
    with (run.parent / f"{run.name}.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "train.py"), f"hydra.run.dir={run}", *overrides],
            cwd=run.parent,
            env=environment(cache),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            until(lambda: latest_step(run) >= step or process.poll() is not None)
            process.send_signal(number)
            return process.wait(timeout=60)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def until(holds: Any, timeout: float = 90) -> None:
    end = time.monotonic() + timeout
    while not holds():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.002)


def latest_step(run: Path) -> int:
    """The last training step in metrics.csv, as far as it is written."""
    try:
        lines = (run / "metrics.csv").read_text().splitlines()[1:]
    except FileNotFoundError:
        return -1
    steps = [line.partition(",")[0] for line in lines]
    return max((int(step) for step in steps if step.isdigit()), default=-1)


def metrics(run: Path) -> list[dict[str, str]]:
    """Rows of metrics.csv without what a clock measured."""
    with (run / "metrics.csv").open(newline="") as stream:
        return [{k: v for k, v in row.items() if k not in TIMED} for row in csv.DictReader(stream)]


def summary(run: Path) -> dict[str, Any]:
    return json.loads((run / "summary.json").read_text())


def untimed(values: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in values.items() if name not in TIMED}


def weights(run: Path) -> bytes:
    return (run / "model" / "model.safetensors").read_bytes()
