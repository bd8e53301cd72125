"""Two ranks on this machine, from the command line: as one process, through kills, and under torchrun."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.end_to_end.command import (
    SMALL,
    environment,
    forked,
    latest_step,
    metrics,
    signalled,
    summary,
    until,
    weights,
)
from tests.repository import ROOT

pytestmark = pytest.mark.slow

RUN = (*SMALL, "trainer.accelerator=cpu", "trainer.max_steps=24", "data.microbatch_tokens=400", "resume=auto")
TWO = (*RUN, "trainer.devices=2", "callbacks.checkpoint.every_n_steps=5")
SMOOTH = (
    "train/loss",
    "train/gradient_norm",
    "train/rewards/margin",
    "train/logratio",
    "val/loss",
    "val/logps/chosen",
)
"""Metrics that rounding does not decide, as it decides the order of responses that score the same."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory, cache):
    """A run on two ranks that nothing interrupts."""
    run = tmp_path_factory.mktemp("two") / "run"
    done = forked(*TWO, "report=true", f"hydra.run.dir={run}", cwd=run.parent, cache=cache)
    assert done.returncode == 0, done.stderr
    return run


def test_two_ranks_are_one_process(whole, tmp_path, cache):
    done = forked(*RUN, f"hydra.run.dir={tmp_path / 'run'}", cwd=tmp_path, cache=cache)
    assert done.returncode == 0, done.stderr
    for row, other in zip(metrics(whole), metrics(tmp_path / "run"), strict=True):
        numbers, expected = ({k: float(r[k]) for k in SMOOTH if r.get(k)} for r in (row, other))
        assert numbers == pytest.approx(expected, abs=1e-4)
    assert (whole / "ranks/1.log").read_text() == ""
    assert (whole / "report.html").is_file()


def test_killed_and_resumed_is_the_same_run(whole, tmp_path, cache):
    run = tmp_path / "run"
    assert signalled(signal.SIGKILL, 12, *TWO, run=run, cache=cache) == -signal.SIGKILL
    assert 10 <= summary(run)["steps"] < 24
    done = forked(*TWO, f"hydra.run.dir={run}", cwd=tmp_path, cache=cache)
    assert done.returncode == 0, done.stderr
    assert "resuming" in done.stderr
    assert weights(run) == weights(whole)
    assert metrics(run) == metrics(whole)


def test_a_rank_that_dies_ends_the_run_and_is_told(tmp_path, cache):
    run = tmp_path / "run"
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), *TWO, "trainer.max_steps=2000", f"hydra.run.dir={run}"],
        cwd=tmp_path,
        env=environment(cache),
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    until(lambda: latest_step(run) >= 3 or process.poll() is not None)
    other = next(pid for pid in children(process.pid) if "alignlab" in command(pid))
    os.kill(other, signal.SIGKILL)
    _, errors = process.communicate(timeout=90)
    assert process.returncode == 1
    assert "rank 1" in errors
    assert summary(run)["status"] == "failed"


def test_under_torchrun(whole, tmp_path, cache):
    run = tmp_path / "run"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone"),
            *(str(ROOT / "train.py"), *TWO, f"hydra.run.dir={run}"),
        ],
        cwd=tmp_path,
        env=environment(cache),
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert weights(run) == weights(whole)


def test_numbers_of_ranks_that_cannot_be(tmp_path, cache):
    def told(*overrides):
        done = forked(*overrides, "trainer.accelerator=cpu", cwd=tmp_path, cache=cache)
        assert done.returncode == 1
        return done.stderr

    errors = told("trainer.devices=4", "trainer.num_nodes=2", "data.lists_per_step=6", "strategy=single")
    assert "strategy=single trains on one device, not on 8" in errors
    assert "torchrun --nnodes=2 --nproc-per-node=4" in errors
    assert "data.lists_per_step=6: 8 ranks share the lists of a step" in errors


def children(pid: int) -> list[int]:
    """Processes that a process started."""
    time.sleep(0.1)
    return [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def command(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text()
