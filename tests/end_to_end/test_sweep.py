"""Sweeps: a job that fails stops nothing; one table and one W&B run a job."""

import csv
import json

import pytest

from tests.end_to_end.command import SMALL, summary, train
from tests.end_to_end.wandb_file import read_run

QUICK = (*SMALL, "trainer.max_steps=2", "hydra.sweep.dir=sweep")


def table(folder):
    with (folder / "summary.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.slow
def test_a_failed_job_stops_nothing(command, tmp_path):
    done = command("-m", "seed=1,-1,2", *QUICK)
    assert done.code == 1
    assert "Traceback" not in done.err
    rows = table(tmp_path / "sweep")
    assert [row["status"] for row in rows] == ["finished", "failed", "finished"]
    assert "seed=-1: expected a number of at least 0" in rows[1]["error"]
    assert "job 1 failed: ConfigError: seed=-1" in done.out
    assert [float(rows[i]["val/loss"]) for i in (0, 2)] == [
        summary(tmp_path / f"sweep/{i}")["final"]["val/loss"] for i in (0, 2)
    ]
    assert rows[1]["val/loss"] == ""


@pytest.mark.slow
def test_a_bug_in_one_job_stops_nothing_either(command, tmp_path, monkeypatch):
    from alignlab.config import chain

    build = chain.build_stage

    def broken(config, *rest, **more):
        if config["seed"] == 1:
            raise ZeroDivisionError("a bug")
        return build(config, *rest, **more)

    monkeypatch.setattr(chain, "build_stage", broken)
    with pytest.raises(ZeroDivisionError):
        command("-m", "seed=1,2", *QUICK)
    assert [row["status"] for row in table(tmp_path / "sweep")] == ["failed", "finished"]


def test_a_misspelt_job_is_found_before_any_job_runs(command, tmp_path):
    done = command("-m", "objective=dpo,dpoo", *QUICK)
    assert done.code == 1
    assert "did you mean 'dpo'?" in done.err
    assert not (tmp_path / "sweep/0").exists()


@pytest.mark.slow
def test_jobs_of_different_names_share_one_folder(command, tmp_path):
    done = command("-m", "objective=dpo,simpo", *QUICK[:-1], "debug=steps", "logger=[csv]")
    assert done.code == 0
    assert "error" not in done.err
    (folder,) = (tmp_path / "multirun").iterdir()
    assert {p.name for p in folder.iterdir()} >= {"0", "1", "summary.csv"}
    assert [row["objective"] for row in table(folder)] == ["dpo", "simpo"]
    assert "sweep folder: " in done.out


@pytest.mark.slow
def test_a_sweep_goes_on_where_it_was_stopped(command, tmp_path):
    line = ("-m", "seed=1,2", *QUICK, "resume=auto")
    assert command(*line).code == 0
    before = (tmp_path / "sweep/0/model/model.safetensors").stat().st_mtime_ns
    (tmp_path / "sweep/1/summary.json").write_text(json.dumps({"status": "interrupted", "steps": 2}))
    assert command(*line).code == 0
    assert (tmp_path / "sweep/0/model/model.safetensors").stat().st_mtime_ns == before
    assert [row["status"] for row in table(tmp_path / "sweep")] == ["finished", "finished"]


@pytest.mark.slow
def test_every_job_has_a_wandb_run_of_its_own(tmp_path, cache):
    done = train("-m", "objective=dpo,simpo", "logger=[csv,wandb]", *QUICK, cwd=tmp_path, cache=cache)
    assert done.returncode == 0, done.stderr
    runs = [read_run(tmp_path / f"sweep/{i}") for i in (0, 1)]
    assert len({run["id"] for run in runs}) == 2
    assert [run["config"]["objective"]["name"] for run in runs] == ["dpo", "simpo"]
    assert {run["group"] for run in runs} == {"sweep"}
    assert all(run["exit_code"] == 0 for run in runs)
