"""Callbacks, loggers, metrics and schedules of any package: chosen by a `_target_`, and told by name where wrong."""

import sys
from dataclasses import replace

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping

from alignlab.assembly.build import build_stage, make_loggers, make_optimizer, objective_of
from alignlab.errors import ConfigError
from alignlab.runs.folder import RunFolder
from alignlab.training.stage import run_stage
from tests.config.compose import composed, problem
from tests.end_to_end.command import TIMED
from tests.training.small import ADAMW, small_policy, small_stage
from tests.training.test_csv_log import rows

PACKAGE = """
import os, signal
import lightning as L
import torch
from alignlab.types import Part

def gap(chosen_lengths, rejected_lengths, *, scale=1.0):
    return scale * (chosen_lengths - rejected_lengths)

def longest(lengths):
    return Part(lengths.max(), torch.ones(()))

def misspelt(chosen_lenghts):
    return chosen_lenghts

def loss(lengths):
    return lengths

class Quit(L.Callback):
    def on_train_batch_end(self, trainer, *_):
        if trainer.global_step == 2:
            os.kill(os.getpid(), signal.SIGTERM)
"""
STOP = "+callbacks.early={_target_: lightning.pytorch.callbacks.EarlyStopping, monitor: val/loss}"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """The module `mypackage` of a user, outside the repository."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "mypackage.py").write_text(PACKAGE)
    monkeypatch.syspath_prepend(tmp_path / "elsewhere")
    yield
    sys.modules.pop("mypackage", None)


def impatient(patience=1, **others):
    """Stops when the validation loss did not rise for so many validations: at once, as it falls."""
    return lambda: {"early": EarlyStopping("val/loss", mode="max", patience=patience), **others}


def settings(callbacks, **trainer):
    return {"make_callbacks": callbacks, "trainer": {"max_steps": 6, "validate_every_n_steps": 1, **trainer}}


def reports(folder):
    return [{k: v for k, v in row.items() if k not in TIMED} for row in rows(folder / "metrics.csv")]


def test_early_stopping_ends_the_run_as_finished(tmp_path):
    stage = small_stage(tmp_path, **settings(impatient()))
    result = run_stage(stage, RunFolder(tmp_path))
    assert (result.status, result.steps) == ("finished", 2)  # step 1 is the best so far, step 2 no better
    assert RunFolder(tmp_path).last_checkpoint.is_file()
    assert result.final["val/loss"] == pytest.approx(float(reports(tmp_path)[-1]["val/loss"]))


def test_a_run_killed_after_its_early_stop_ends_there_too(tmp_path):
    whole = run_stage(small_stage(tmp_path, **settings(impatient())), RunFolder(tmp_path))
    again = run_stage(small_stage(tmp_path, **settings(impatient(patience=9))), RunFolder(tmp_path))
    assert (again.status, again.steps) == ("finished", 2)
    assert {**again.final, "val/tokens_per_second": 0} == {**whole.final, "val/tokens_per_second": 0}


def test_the_patience_is_kept_over_a_resume(tmp_path, package):
    from mypackage import Quit

    for name, callbacks in {"whole": impatient(3), "parts": impatient(3, quit=Quit())}.items():
        result = run_stage(small_stage(tmp_path / name, **settings(callbacks)), RunFolder(tmp_path / name))
    assert (result.status, result.steps) == ("interrupted", 2)
    result = run_stage(
        small_stage(tmp_path / "parts", **settings(impatient(3))), RunFolder(tmp_path / "parts")
    )
    assert (result.status, result.steps) == ("finished", 4)
    assert reports(tmp_path / "parts") == reports(tmp_path / "whole")


def test_a_stop_between_validations_has_a_last_one(tmp_path):
    class Enough(L.Callback):
        def on_train_batch_end(self, trainer, *_):
            assert "train/loss" in trainer.callback_metrics
            trainer.should_stop = trainer.global_step == 3

    stage = small_stage(tmp_path, **settings(lambda: {"enough": Enough()}, validate_every_n_steps=5))
    result = run_stage(stage, RunFolder(tmp_path))
    assert (result.status, result.steps) == ("finished", 3)
    assert [row["step"] for row in reports(tmp_path) if row["val/loss"]] == ["0", "3"]


def test_a_monitor_that_is_no_metric_is_told_before_the_first_step(tmp_path):
    stage = small_stage(tmp_path, **settings(lambda: {"early": EarlyStopping("val/los")}))
    with pytest.raises(ConfigError, match=r"callbacks.early.monitor=val/los .* did you mean 'val/loss'"):
        run_stage(stage, RunFolder(tmp_path))


def test_metrics_of_ones_own_are_measured_in_training_and_validation(tmp_path, package):
    mine = "+metrics.mine={_target_: mypackage.gap, scale: 2.0}"
    config = composed(mine, "+metrics.longest={_target_: mypackage.longest}")
    assert problem(config) == ""
    run_stage(replace(small_stage(tmp_path), objective=objective_of(config)), RunFolder(tmp_path))
    for split, row in (("val", reports(tmp_path)[0]), ("train", reports(tmp_path)[1])):
        lengths = {side: float(row[f"{split}/lengths/{side}"]) for side in ("chosen", "rejected")}
        assert float(row[f"{split}/mine"]) == pytest.approx(2 * (lengths["chosen"] - lengths["rejected"]))
        assert float(row[f"{split}/longest"]) >= max(lengths.values())


def test_a_metric_may_not_take_the_name_of_another(tmp_path, package):
    config = composed("+metrics.loss={_target_: mypackage.loss}")
    with pytest.raises(ConfigError, match="choose another"):
        run_stage(replace(small_stage(tmp_path), objective=objective_of(config)), RunFolder(tmp_path))


def test_a_whole_stage_has_them(tmp_path):
    config = composed(STOP, "+callbacks.early.patience=7")
    stage = build_stage(config, RunFolder(tmp_path), {"name": "n", "group": ""})
    assert stage.make_callbacks()["early"].patience == 7


WRONG = {
    STOP.replace("monitor", "monitr"): [
        "takes no 'monitr': did you mean 'monitor'?",
        "needs a value for monitor",
    ],
    STOP.replace("EarlyStopping", "EarlyStoping"): [
        "callbacks.early._target_",
        "did you mean 'EarlyStopping'?",
    ],
    STOP.replace("callbacks.EarlyStopping", "Trainer").replace(", monitor: val/loss", ""): [
        "callbacks.early._target_=lightning.pytorch.Trainer is no Callback of Lightning"
    ],
    "+callbacks.early.monitor=val/loss": [
        "callbacks.early: no such setting",
        "one of your own has a _target_",
    ],
    "+callbacks.checkpont.keep=3": ["callbacks.checkpont", "did you mean 'checkpoint'?"],
    "+logger.mlflow={_target_: lightning.pytorch.loggers.MLFlowLoger}": ["did you mean 'MLFlowLogger'?"],
    "+logger.mlflow={_target_: lightning.pytorch.loggers.MLFlowLogger, experiment: x}": [
        "takes no 'experiment'"
    ],
    "+metrics.mine={_target_: mypackage.misspelt}": ["metrics.mine", "did you mean 'chosen_lengths'?"],
    "+metrics.mine={_target_: mypackage.gap, scal: 1}": ["no hyper-parameter 'scal': did you mean 'scale'?"],
    "+metrics.mine={_target_: mypackage.nothing}": ["metrics.mine._target_: 'mypackage' has no 'nothing'"],
    "+metrics.mine.threshold=1": ["metrics.mine: no such setting"],
}


@pytest.mark.parametrize("override", WRONG)
def test_a_wrong_choice_is_told_by_name_and_key(override, package):
    said = problem(composed(override))
    for wanted in WRONG[override]:
        assert wanted in said


def test_a_logger_whose_package_is_missing_is_told_before_training(tmp_path):
    config = composed("+logger.mlflow={_target_: lightning.pytorch.loggers.MLFlowLogger}")
    assert problem(config) == ""
    with pytest.raises(ConfigError, match=r"logger\.mlflow needs a package that is not installed.*mlflow"):
        make_loggers(config, RunFolder(tmp_path), {"name": "run", "group": ""})


def test_any_logger_of_lightning_logs(tmp_path):
    target = "lightning.pytorch.loggers.CSVLogger"
    config = composed(
        f"+logger.other={{_target_: {target}, save_dir: {tmp_path / 'other'}, name: '', version: ''}}"
    )
    assert problem(config) == ""
    folder = RunFolder(tmp_path)
    make = lambda: make_loggers(config, folder, {"name": "run", "group": ""})  # noqa: E731
    run_stage(small_stage(tmp_path, make_loggers=make), folder)
    assert "train/loss" in (tmp_path / "other" / "metrics.csv").read_text()


SCHEDULES = {
    ("scheduler._target_=torch.optim.lr_scheduler.CosineAnnealingLR", "+scheduler.eta_min=0.25"): [1, 0.25],
    (
        "scheduler._target_=transformers.get_polynomial_decay_schedule_with_warmup",
        "+scheduler.warmup_ratio=0.2",
        "+scheduler.lr_end=0.5",
    ): [0, 0.5],
}


@pytest.mark.parametrize("overrides", SCHEDULES, ids=lambda overrides: overrides[0].rpartition(".")[2])
def test_a_schedule_of_torch_or_transformers_is_given_the_steps(overrides):
    config = composed("scheduler=custom", *overrides)
    assert problem(config) == ""
    optimizer, schedule = make_optimizer({**ADAMW, "lr": 1.0}, config["scheduler"], small_policy(), 10, 100)
    seen = []
    for _ in range(10):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert [seen[0], optimizer.param_groups[0]["lr"]] == pytest.approx(SCHEDULES[overrides], rel=0.05)


def test_steps_that_a_schedule_may_leave_open_are_given_too():
    target = "scheduler._target_=torch.optim.lr_scheduler.OneCycleLR"
    config = composed("scheduler=custom", target, "+scheduler.max_lr=2.0")
    _, schedule = make_optimizer(ADAMW, config["scheduler"], small_policy(), 10, 100)
    assert schedule.total_steps == 10


@pytest.mark.parametrize(
    ("overrides", "wanted"),
    [
        (["CosineAnnealingLR", "+scheduler.etamin=0"], "did you mean 'eta_min'?"),
        (["CosineAnnealingLR", "+scheduler.warmup_ratio=0.1"], "takes no 'warmup_ratio'"),
        (["ReduceLROnPlateau"], "goes by a metric"),
    ],
)
def test_a_wrong_schedule_is_told(overrides, wanted):
    name, *others = overrides
    target = f"scheduler._target_=torch.optim.lr_scheduler.{name}"
    assert wanted in problem(composed("scheduler=custom", target, *others))


def test_any_optimizer_trains():
    config = composed(
        "optimizer=custom",
        "optimizer._target_=torch.optim.SGD",
        "optimizer.lr=0.5",
        "+optimizer.momentum=0.9",
    )
    assert problem(config) == ""
    optimizer, _ = make_optimizer(config["optimizer"], config["scheduler"], small_policy(), 10, 100)
    assert isinstance(optimizer, torch.optim.SGD)
    assert optimizer.defaults["momentum"] == 0.9
