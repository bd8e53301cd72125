"""Studies, with jobs that take no time: a function of the settings stands for the training."""

import json
import re

import pytest
from omegaconf import OmegaConf

from alignlab.errors import ConfigError, RunError
from alignlab.launch.study import run_study
from tests.config.jobs import leave

optuna = pytest.importorskip("optuna")
pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")

OPTIONS = {"n_trials": 6, "n_jobs": 1, "n_random": 4, "prune_after": None, "seed": 0, "params": {}}
SPACE = ("objective.loss.beta=interval(0.0, 1.0)", "seed=0,1,2")


class Jobs:
    """Jobs whose reward is highest at beta 0.3; what they are given, in order."""

    def __init__(self, folder, fail=(), stop=None):
        self.folder, self.fail, self.stop = folder, fail, stop
        self.started, self.batches, self.firsts = [], [], []

    def __call__(self, jobs, first):
        self.batches.append(len(jobs))
        self.firsts.append(first)
        for overrides in jobs:
            if len(self.started) == self.stop:
                raise KeyboardInterrupt
            given = dict(text.split("=") for text in overrides)
            place = self.folder / given.pop("hydra.sweep.subdir")
            self.started.append(place.name)
            assert given.pop("resume") == "auto"
            beta, seed = float(given["objective.loss.beta"]), int(given["seed"])
            reward = -((beta - 0.3) ** 2) + 0.001 * seed
            failed = "RunError: no" if len(self.started) in self.fail else ""
            leave(place, *(f"{k}={v}" for k, v in given.items()), error=failed, gold__reward=reward)


def config(folder, **more):
    return OmegaConf.create(
        {
            "seed": 0,
            "optimized_metric": "gold/reward",
            "optimized_direction": "auto",
            "hydra": {"sweep": {"dir": str(folder)}},
            **more,
        }
    )


def study(folder):
    return optuna.load_study(study_name="sweep", storage=f"sqlite:///{folder / 'study.db'}")


def states(folder):
    return [trial.state.name for trial in study(folder).trials]


def run(jobs, *arguments, **options):
    run_study([*SPACE, *arguments], config(jobs.folder), jobs, **{**OPTIONS, **options})


def test_a_trial_is_the_mean_over_its_seeds(tmp_path):
    jobs = Jobs(tmp_path)
    run(jobs)
    assert states(tmp_path) == ["COMPLETE"] * 6
    assert jobs.started == [f"trial{trial:03d}-seed{seed}" for trial in range(6) for seed in range(3)]
    assert jobs.firsts == list(range(18))
    for trial in study(tmp_path).trials:
        beta = trial.params["objective.loss.beta"]
        assert trial.value == pytest.approx(-((beta - 0.3) ** 2) + 0.001, abs=1e-12)
        told = (tmp_path / f"trial{trial.number:03d}-seed0/overrides.txt").read_text().split()
        assert told == [f"objective.loss.beta={beta}", "seed=0"]


def test_the_sampler_learns(tmp_path):
    run(Jobs(tmp_path), "seed=0", n_trials=20)
    values = [trial.value for trial in study(tmp_path).trials]
    assert sum(values[12:]) > sum(values[:8])
    assert study(tmp_path).best_params["objective.loss.beta"] == pytest.approx(0.3, abs=0.1)


def test_less_is_better_where_it_is(tmp_path):
    jobs = Jobs(tmp_path)
    options = {**OPTIONS, "n_trials": 3}
    run_study(SPACE, config(tmp_path, optimized_direction="minimize"), jobs, **options)
    assert study(tmp_path).best_value == min(trial.value for trial in study(tmp_path).trials)


def test_trials_side_by_side(tmp_path):
    jobs = Jobs(tmp_path)
    run(jobs, n_trials=5, n_jobs=3)
    assert jobs.batches == [3, 3, 3, 2, 2, 2]
    assert jobs.firsts == [0, 3, 6, 9, 11, 13]
    assert states(tmp_path) == ["COMPLETE"] * 5


def test_a_trial_behind_the_median_gets_no_more_seeds(tmp_path):
    jobs = Jobs(tmp_path)
    run(jobs, n_trials=12, prune_after=3)
    found = study(tmp_path).trials
    assert [trial.state.name for trial in found[:3]] == ["COMPLETE"] * 3
    pruned = [trial for trial in found if trial.state.name == "PRUNED"]
    assert pruned
    for trial in pruned:
        runs = [name for name in jobs.started if name.startswith(f"trial{trial.number:03d}-")]
        assert len(runs) < 3
        done = sorted(t.intermediate_values[0] for t in found[: trial.number] if t.state.name == "COMPLETE")
        assert trial.intermediate_values[0] <= done[len(done) // 2]
    assert study(tmp_path).best_trial.state.name == "COMPLETE"


def test_failed_trials_are_told_and_the_study_goes_on(tmp_path, capsys):
    jobs = Jobs(tmp_path, fail=(1, 5))
    run(jobs)
    assert states(tmp_path) == ["FAIL", "COMPLETE", "FAIL", *["COMPLETE"] * 3]
    assert jobs.started[:5] == ["trial000-seed0", *(f"trial001-seed{i}" for i in range(3)), "trial002-seed0"]
    assert "trial 0 fail" in capsys.readouterr().out


def test_a_launcher_that_breaks_costs_its_trials_alone(tmp_path, capsys):
    jobs = Jobs(tmp_path)

    def breaking(batch, first):
        if first == 1:
            raise OSError("a worker was killed")
        jobs(batch, first)

    run_study(SPACE, config(tmp_path), breaking, **{**OPTIONS, "n_trials": 3})
    assert states(tmp_path) == ["FAIL", "COMPLETE", "COMPLETE"]
    assert "a worker was killed" in capsys.readouterr().out


def test_a_config_that_cannot_be_ends_it_at_once(tmp_path):
    def refused(batch, first):
        raise ConfigError("no such key")

    with pytest.raises(ConfigError, match="no such key"):
        run_study(SPACE, config(tmp_path), refused, **OPTIONS)


def test_nothing_finished_is_an_error(tmp_path):
    with pytest.raises(RunError, match="no trial"):
        run(Jobs(tmp_path, fail=range(100)), n_trials=2)


def test_it_goes_on_where_it_was_stopped(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(Jobs(tmp_path, stop=7), n_jobs=2)
    before = study(tmp_path).trials
    assert [trial.state.name for trial in before] == ["COMPLETE", "COMPLETE", "RUNNING", "RUNNING"]
    jobs = Jobs(tmp_path)
    run(jobs, n_jobs=2)
    after = study(tmp_path).trials
    assert [trial.params for trial in after[:4]] == [trial.params for trial in before]
    assert states(tmp_path) == ["COMPLETE"] * 6
    assert jobs.started[:5] == [f"trial00{t}-seed{s}" for t, s in ((3, 0), (2, 1), (3, 1), (2, 2), (3, 2))]
    assert len(jobs.started) == 18 - 7


def test_a_finished_study_can_be_made_longer(tmp_path):
    run(Jobs(tmp_path), n_trials=2)
    jobs = Jobs(tmp_path)
    run(jobs, n_trials=4)
    assert len(jobs.started) == 6
    betas = [trial.params["objective.loss.beta"] for trial in study(tmp_path).trials]
    assert len(set(betas)) == 4


def test_another_study_does_not_go_into_its_folder(tmp_path):
    run(Jobs(tmp_path), n_trials=2)
    with pytest.raises(ConfigError, match="holds another study") as error:
        run(Jobs(tmp_path), "seed=0", n_trials=4)
    assert re.search(r"seeds: \['0', '1', '2'\] -> \['0'\]", str(error.value))
    run(Jobs(tmp_path), "launcher=joblib", n_trials=3)


@pytest.mark.parametrize("key", ["n_trials", "n_jobs", "n_random"])
def test_numbers_that_cannot_be(tmp_path, key):
    with pytest.raises(ConfigError, match=f"hydra.sweeper.{key}=0"):
        run(Jobs(tmp_path), **{key: 0})


def test_a_missing_metric_is_a_failure(tmp_path):
    jobs = Jobs(tmp_path)
    with pytest.raises(RunError):
        run_study(SPACE, config(tmp_path, optimized_metric="gold/rewart"), jobs, **{**OPTIONS, "n_trials": 1})
    assert json.loads((tmp_path / "trial000-seed0/summary.json").read_text())["status"] == "finished"
