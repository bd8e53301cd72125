"""Run the command line as a user does: another process, another folder, nothing but what it prints and writes."""

import csv
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from tests.forked import context
from tests.repository import ROOT

PROGRAM = str(ROOT / "train.py")

SMALL = (
    "evaluation=none",
    "model.loader.steps=20",
    "model.loader.hidden_size=16",
    "model.loader.layers=1",
    "model.loader.heads=2",
    "data.limit=96",
    "data.limit_validation=16",
    "data.lists_per_step=8",
    "report=false",
)
"""The embedded default, made to take a second: drawing its pictures would take three."""
TIMED = ("train/tokens_per_second", "val/tokens_per_second", "train/memory_mb")


def environment(cache: Path) -> dict[str, str]:
    """One thread, a cache of the tests' own, and no account anywhere."""
    keep = {k: v for k, v in os.environ.items() if not k.startswith(("WANDB", "HF_"))}
    return {**keep, "OMP_NUM_THREADS": "1", "ALIGNLAB_CACHE": str(cache), "WANDB_SILENT": "true"}


def train(*overrides: str, cwd: Path, cache: Path, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """Run `python train.py ...` in a fresh process of Python."""
    return subprocess.run(
        [sys.executable, PROGRAM, *overrides],
        cwd=cwd,
        env=environment(cache),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def forked(*overrides: str, cwd: Path, cache: Path, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """Do the same in a process that has imported everything already, which takes longer than a small run."""
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        process = start(overrides, cwd=cwd, cache=cache, out=out, err=err)
        try:
            process.join(timeout)
            assert process.exitcode is not None, f"not done after {timeout} s: {err.read_text()}"
        finally:
            end(process)
        return subprocess.CompletedProcess(
            [PROGRAM, *overrides], process.exitcode, out.read_text(), err.read_text()
        )


def signalled(number: int, step: int, *overrides: str, run: Path, cache: Path) -> int:
    """Start a run, send it a signal once it has reported that step, and give its exit code."""
    run.parent.mkdir(parents=True, exist_ok=True)
    log = run.parent / f"{run.name}.log"
    line = (f"hydra.run.dir={run}", *overrides)
    process = start(line, cwd=run.parent, cache=cache, out=log, err=log)
    try:
        until(lambda: latest_step(run) >= step or process.exitcode is not None)
        os.kill(process.pid, number)
        process.join(60)
        assert process.exitcode is not None, f"signal {number} did not end it: {log.read_text()}"
        return process.exitcode
    finally:
        end(process)


def start(overrides: Sequence[str], *, cwd: Path, cache: Path, out: Path, err: Path) -> BaseProcess:
    """A forked process that runs train.py and writes what it prints to these files."""
    process = context.Process(target=_program, args=(overrides, cwd, environment(cache), out, err))
    process.start()
    return process


def end(process: BaseProcess) -> None:
    """Kill what is left of the process, and all that it has started."""
    if process.exitcode is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.join(10)


def _program(overrides: Sequence[str], cwd: Path, variables: Mapping[str, str], out: Path, err: Path) -> None:
    import torch

    os.setsid()
    for file, stream in ((out, 1), (err, 2)):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(variables)
    torch.set_num_threads(1)
    sys.argv = [PROGRAM, *overrides]
    runpy.run_path(PROGRAM, run_name="__main__")


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
