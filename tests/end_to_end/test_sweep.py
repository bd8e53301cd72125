"""Sweeps: a job that fails stops nothing; one table and one W&B run a job."""

import csv
import json
import shlex

import pytest
from omegaconf import OmegaConf

from tests.end_to_end.command import SMALL, forked, summary, train
from tests.end_to_end.wandb_file import read_run

QUICK = (*SMALL, "trainer.max_steps=2", "hydra.sweep.dir=sweep")


def table(folder):
    with (folder / "sweep_summary.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def statuses(folder):
    return [summary(job)["status"] for job in sorted(folder.glob("[0-9]"))]


@pytest.mark.slow
def test_a_failed_job_stops_nothing(command, tmp_path):
    done = command("-m", "optimizer.weight_decay=-1,0.0", "seed=1,2", *QUICK)
    assert done.code == 1
    assert "Traceback" not in done.err
    assert statuses(tmp_path / "sweep") == ["failed", "failed", "finished", "finished"]
    rows = table(tmp_path / "sweep")
    assert [(row["seeds"], row["failed"]) for row in rows] == [("2", "0"), ("0", "2")]
    assert rows[1]["error"] == "ConfigError: optimizer.weight_decay=-1: expected a number of at least 0"
    assert "job 0 failed: ConfigError: " in done.out
    jobs = [summary(tmp_path / "sweep" / job)["final"]["val/loss"] for job in rows[0]["jobs"].split()]
    assert float(rows[0]["val/loss"]) == pytest.approx(sum(jobs) / 2)
    assert float(rows[0]["val/loss_ci95"]) == pytest.approx(12.7062 * abs(jobs[0] - jobs[1]) / 2, rel=1e-5)


@pytest.mark.slow
def test_the_command_at_the_end_runs_the_best_again(command, tmp_path):
    done = command("-m", "objective=dpo,ipo", *QUICK, "optimized_metric=val/loss")
    last = done.out.strip().splitlines()[-1]
    assert last.startswith("the best again: python train.py objective=dpo ")
    again = shlex.split(last.removeprefix("the best again: python train.py "))
    assert command(*again, "hydra.run.dir=again").code == 0
    (best, _) = table(tmp_path / "sweep")
    assert summary(tmp_path / "again")["final"]["val/loss"] == float(best["val/loss"])


@pytest.mark.slow
def test_a_bug_in_one_job_stops_nothing_either(command, tmp_path, monkeypatch):
    from alignlab.launch import chain

    build = chain.build_stage

    def broken(config, *rest, **more):
        if config["seed"] == 1:
            raise ZeroDivisionError("a bug")
        return build(config, *rest, **more)

    monkeypatch.setattr(chain, "build_stage", broken)
    monkeypatch.setattr("alignlab.launch.run.own_frame", lambda error: None)  # it stands for a bug of ours
    with pytest.raises(ZeroDivisionError):
        command("-m", "seed=1,2", *QUICK)
    assert statuses(tmp_path / "sweep") == ["failed", "finished"]


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
    assert {p.name for p in folder.iterdir()} >= {"0", "1", "sweep_summary.csv"}
    assert {row["setting"]: row["jobs"] for row in table(folder)} == {
        "objective=dpo": "0",
        "objective=simpo": "1",
    }
    assert "sweep folder: " in done.out


@pytest.mark.slow
def test_a_sweep_goes_on_where_it_was_stopped(command, tmp_path):
    line = ("-m", "seed=1,2", *QUICK, "resume=auto")
    assert command(*line).code == 0
    before = (tmp_path / "sweep/0/model/model.safetensors").stat().st_mtime_ns
    (tmp_path / "sweep/1/summary.json").write_text(json.dumps({"status": "interrupted", "steps": 2}))
    assert command(*line).code == 0
    assert (tmp_path / "sweep/0/model/model.safetensors").stat().st_mtime_ns == before
    assert statuses(tmp_path / "sweep") == ["finished", "finished"]


@pytest.mark.slow
def test_every_job_has_a_wandb_run_of_its_own(tmp_path, cache):
    done = forked("-m", "objective=dpo,simpo", "logger=[csv,wandb]", *QUICK, cwd=tmp_path, cache=cache)
    assert done.returncode == 0, done.stderr
    runs = [read_run(tmp_path / f"sweep/{i}") for i in (0, 1)]
    assert len({run["id"] for run in runs}) == 2
    assert [run["config"]["objective"]["name"] for run in runs] == ["dpo", "simpo"]
    assert {run["group"] for run in runs} == {"sweep"}
    assert all(run["exit_code"] == 0 for run in runs)


@pytest.mark.slow
def test_jobs_side_by_side_share_the_reference(tmp_path):
    pytest.importorskip("joblib")
    line = ("-m", "launcher=joblib", "objective=dpo,ipo", "seed=1,-1", *QUICK)
    done = train(*line, cwd=tmp_path, cache=tmp_path / "cache", timeout=300)
    assert done.returncode == 1, done.stderr
    assert statuses(tmp_path / "sweep") == ["finished", "failed", "finished", "failed"]
    assert done.stderr.count("from the cache") == 2  # train and validation: one job scores, the other reads
    assert {row["setting"] for row in table(tmp_path / "sweep")} == {"objective=dpo", "objective=ipo"}
    assert "the best again: python train.py objective=" in done.stdout
    assert "launcher" not in (tmp_path / "sweep/0/overrides.txt").read_text()
    both = [OmegaConf.load(tmp_path / f"sweep/{job}/config.yaml").objective.name for job in (0, 2)]
    assert both == ["dpo", "ipo"]


@pytest.mark.slow
def test_a_kept_sweep_in_any_folder(command, tmp_path):
    line = (*QUICK, "seed=1", "objective=dpo", "pipeline.flip_noise.rate=0.0,0.4")
    done = command("sweeps=noise_robustness", *line)
    assert done.code == 0, done.err
    rows = table(tmp_path / "sweep")
    assert {row["setting"] for row in rows} == {f"pipeline.flip_noise.rate={rate}" for rate in ("0.0", "0.4")}
    assert "sweeps=" not in rows[0]["command"]
    assert "pipeline=[flip_noise]" in shlex.split(rows[0]["command"])


@pytest.mark.slow
def test_a_kept_study(command, tmp_path):
    pytest.importorskip("optuna")
    line = ("sweeps=lipo_beta", *QUICK, "seed=1,2", "hydra.sweeper.n_trials=1")
    done = command(*line)
    assert done.code == 0, done.err
    assert [row["jobs"] for row in table(tmp_path / "sweep")] == ["trial000-seed1 trial000-seed2"]
    done = command(*line[:-1], "hydra.sweeper.n_trials=2")
    assert done.code == 0, done.err
    assert done.out.count(" complete: ") == 1
    assert [row["seeds"] for row in table(tmp_path / "sweep")] == ["2", "2"]


def test_a_sweep_has_its_folder_to_itself(command, tmp_path, monkeypatch):
    import fcntl

    def taken(*_):
        raise BlockingIOError

    monkeypatch.setattr(fcntl, "lockf", taken)
    done = command("-m", "seed=1,2", *QUICK)
    assert done.code == 1
    assert "is writing to" in done.err
    assert not (tmp_path / "sweep/0").exists()


def test_several_devices_are_refused_before_any_job(command, tmp_path):
    done = command("-m", "seed=1,2", "trainer.devices=2", *QUICK)
    assert done.code == 1
    assert "error: trainer.devices=2 with -m" in done.err
    assert "launcher=slurm" in done.err
    assert not (tmp_path / "sweep").exists()


def test_a_misspelt_sweep(command):
    done = command("sweeps=lipo_bta")
    assert done.code == 1
    assert "there is no sweeps=lipo_bta: did you mean 'lipo_beta'?" in done.err
