"""W&B without key and network: the run is kept offline, whole, under one id over resumes."""

import signal

import pytest

from tests.end_to_end.command import SMALL, forked, metrics, signalled, summary
from tests.end_to_end.wandb_file import read_run

pytestmark = pytest.mark.slow

LINE = (
    *SMALL,
    "logger=[csv,wandb]",
    "trainer.max_steps=40",
    "callbacks.checkpoint.every_n_steps=5",
    "resume=auto",
)


def test_every_metric_and_the_config_are_kept_and_the_id_over_a_resume(tmp_path, cache):
    run = tmp_path / "run"
    assert signalled(signal.SIGTERM, 9, *LINE, run=run, cache=cache) == 143
    assert "wandb: offline, since there is no API key" in (tmp_path / "run.log").read_text()
    first = read_run(run)
    done = forked(*LINE, f"hydra.run.dir={run}", cwd=tmp_path, cache=cache)
    assert done.returncode == 0, done.stderr
    second = read_run(run)
    assert first["id"] == second["id"] == (run / "wandb_run_id.txt").read_text()
    assert second["exit_code"] == 0
    assert {"dpo", "lab"} <= set(second["tags"])
    assert second["config"]["objective"]["loss"]["beta"] == 0.1
    assert second["config"]["trainer"]["max_steps"] == 40

    known = {}
    for read in (first, second):
        for row in read["history"]:
            step = row["trainer/global_step"]
            known |= {(step, name): value for name, value in row.items()}
    for row in metrics(run):
        for name, value in row.items():
            if name != "step" and value:
                assert known[int(row["step"]), name] == pytest.approx(float(value), rel=1e-9), name
    assert summary(run)["steps"] == 40
    assert known[40, "val/loss"] == summary(run)["final"]["val/loss"]


def test_online_without_a_network_ends_in_seconds(tmp_path, cache):
    done = forked(
        *SMALL, "logger=[csv,wandb]", "logger.wandb.mode=online", cwd=tmp_path, cache=cache, timeout=40
    )
    assert done.returncode == 1
    assert "logger.wandb.mode=offline keeps the run locally" in done.stderr
    assert "Traceback" not in done.stderr
