"""A run as its folder tells it: what is not there is empty, and the config is the one that was composed."""

import json
import math

import pytest
from omegaconf import OmegaConf

from alignlab.runs.record import Record, runs_below
from tests.config.compose import composed
from tests.report.runs import make_run


def test_a_folder_that_never_was_a_run(tmp_path):
    run = Record(tmp_path / "nowhere")
    assert (run.status, run.finished, run.error, run.steps, run.seed) == ("not begun", False, "", 0, "")
    assert (run.config, run.overrides, run.history, run.samples) == ({}, (), {}, ())
    assert run.result("val/loss") is None


def test_results_are_those_of_finished_runs(tmp_path):
    final = {"val/loss": 0.5, "val/kl": math.nan}
    finished = Record(make_run(tmp_path / "0", final=final))
    stopped = Record(make_run(tmp_path / "1", final=final, status="interrupted"))
    assert [finished.result(name) for name in ("val/loss", "val/kl", "gold/reward")] == [0.5, None, None]
    assert stopped.result("val/loss") is None


def test_the_command_leaves_out_how_a_run_was_resumed(tmp_path):
    run = make_run(tmp_path / "0", overrides=("objective=dpo", "resume=auto"))
    line = {"overrides": ["objective=dpo", "resume=auto"], "searchpath": ["hydra.searchpath=[file:///my]"]}
    (run / "manifest.json").write_text(json.dumps(line))
    assert Record(run).command == "python train.py 'hydra.searchpath=[file:///my]' objective=dpo"
    assert Record(run).overrides == ("objective=dpo",)


def test_the_command_of_a_stage_is_that_of_its_run(tmp_path):
    make_run(tmp_path / "run/stages/01-a", overrides=("data.limit=8",), manifest={"overrides": ["seed=1"]})
    assert Record(tmp_path / "run/stages/01-a").command == "python train.py seed=1"
    assert [*runs_below(tmp_path)] == []


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("objective=lipo_lambda", "optimizer.lr=1e-5", "regularizers=[kl,sft]", "modifiers=[ld]"),
        ("data=ultrafeedback", "data.path='on'", "run_name='1e-4'", "peft=lora"),
        ("recipe=stepwise", "run_name='2026-01-01'", "data.step_delimiter='a: b # c'"),
    ],
)
def test_the_config_is_read_as_it_was_composed(tmp_path, overrides):
    config = composed(*overrides)
    (tmp_path / "config.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create(config)))
    assert Record(tmp_path).config == config
