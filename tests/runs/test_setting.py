"""What makes two runs the same setting, and the names by which settings are told apart."""

import pytest

from alignlab.runs.record import Record
from alignlab.runs.setting import settings_of
from tests.config.jobs import leave
from tests.report.runs import make_run


@pytest.fixture
def names(tmp_path):
    """`names(*(config, overrides))`: the names of the settings of such runs, with the numbers of the runs."""

    def bring_together(*runs):
        for place, (config, overrides) in enumerate(runs):
            make_run(tmp_path / str(place), config=config, overrides=overrides)
        records = [Record(tmp_path / str(place)) for place in range(len(runs))]
        return {
            setting.name: " ".join(run.path.name for run in setting.runs) for setting in settings_of(records)
        }

    return bring_together


@pytest.mark.parametrize(
    ("first", "second", "typed"),
    [
        ({"report": True}, {"report": False}, "report=false"),
        ({"run_name": "a"}, {"run_name": "b"}, "run_name=b"),
        ({"logger": {"csv": {}}}, {"logger": {"csv": {}, "wandb": {}}}, "logger=[csv,wandb]"),
        ({"model": {"loader": {"cache_dir": "a"}}}, {"model": {"loader": {"cache_dir": "b"}}}, "cache_dir=b"),
        (
            {"callbacks": {"checkpoint": {"keep": 2}}},
            {"callbacks": {"checkpoint": {"keep": 9}}},
            "callbacks.checkpoint.keep=9",
        ),
        ({"data": {"licence": None}}, {"data": {"licence": "MIT"}}, "data.licence=MIT"),
        ({"optimizer": {"lr": 1e-4}}, {"optimizer": {"lr": 1e-4}}, "optimizer.lr=0.0001"),
    ],
)
def test_seeds_that_differ_in_what_changes_no_result_are_one_setting(names, first, second, typed):
    runs = [({"seed": 0, **first}, ("seed=0",)), ({"seed": 1, **second}, ("seed=1", typed))]
    assert names(*runs) == {"dpo on lab": "0 1"}


@pytest.mark.parametrize(
    ("first", "second", "typed"),
    [
        ({}, {"callbacks": {"early": {"monitor": "val/loss"}}}, "+callbacks.early.monitor=val/loss"),
        ({"trainer": {"devices": 1}}, {"trainer": {"devices": 2}}, "trainer.devices=2"),
        ({"pipeline": {"a": {}, "b": {}}}, {"pipeline": {"b": {}, "a": {}}}, "pipeline=[b,a]"),
        ({"evaluation": {"prompts": 8}}, {"evaluation": {"prompts": 9}}, "evaluation.prompts=9"),
    ],
)
def test_what_may_change_a_result_is_another_setting(names, first, second, typed):
    assert names((first, ()), (second, (typed,))) == {"dpo on lab": "0", typed.lstrip("+"): "1"}


def test_a_run_that_died_before_its_config_belongs_to_its_overrides(tmp_path):
    for seed in (0, 1):
        make_run(tmp_path / str(seed), config={"seed": seed}, overrides=("objective=dpo", f"seed={seed}"))
    leave(tmp_path / "2", "objective=dpo", "seed=2", error="RunError: no")
    leave(tmp_path / "3", "objective=ipo", "seed=2", error="RunError: no")
    leave(tmp_path / "4", "objective=ipo", "seed=3", "report=false", error="RunError: no")
    settings = settings_of([Record(tmp_path / str(job)) for job in range(5)])
    assert [[run.path.name for run in setting.runs] for setting in settings] == [["0", "1", "2"], ["3", "4"]]
    assert [setting.name for setting in settings] == ["objective=dpo", "objective=ipo"]
    assert [*settings[0].finished] == ["0", "1"]


def test_seeds_of_their_own_are_repeats_and_none_is_lost(tmp_path):
    for job, start in enumerate((7, 8, 8)):
        config = {"seed": 0, "model": {"loader": {"seed": start}}}
        overrides = ("seed=0", f"model.loader.seed={start}")
        make_run(tmp_path / str(job), config=config, overrides=overrides, final={"gold/reward": float(job)})
    (setting,) = settings_of([Record(tmp_path / str(job)) for job in range(3)])
    assert setting.values("gold/reward") == {"0 model.loader.seed=7": 0.0, "0 model.loader.seed=8": 2.0}


def test_namesakes_are_told_apart_by_the_keys_that_differ(names):
    betas = [({"objective": {"name": "dpo", "loss": {"beta": beta}}}, ("x=1",)) for beta in (0.1, 0.2)]
    assert names(*betas) == {"objective.loss.beta=0.1": "0", "objective.loss.beta=0.2": "1"}


def test_where_many_keys_differ_a_number_tells_namesakes_apart(names):
    many = [({"optimizer": dict.fromkeys("abcd", value)}, ()) for value in (1, 2)]
    assert names(*many) == {"dpo on lab": "0", "dpo on lab #2": "1"}
