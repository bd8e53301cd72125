"""Validation, checkpoints, and the settings of the optimizer, over short runs of a small model."""

import math
import signal
from unittest.mock import Mock

import lightning as L
import pytest
import torch
from lightning.pytorch.plugins import Precision

from alignlab.data.batching.batches import StepLoader
from alignlab.runs.folder import RunFolder
from alignlab.training.callbacks.validation import Validation
from alignlab.training.module import PreferenceModule
from alignlab.training.optim import auto_lr, schedule, trainable
from alignlab.training.spec import ReferenceSpec
from alignlab.training.stage import run_stage
from alignlab.training.stop import SIGNALS, Listener
from tests.end_to_end.command import TIMED
from tests.training.small import load_small, small_policy, small_stage
from tests.training.test_csv_log import rows


def test_validation_before_between_and_after():
    validation = Validation(Mock(spec=StepLoader), every_n_steps=2)
    assert (validation.initial, validation.final, validation.best) == ({}, {}, {})
    validation.load_state_dict(
        {"history": {0: {"loss": 3.0}, 2: {"loss": 1.0}, 4: {"loss": 1.0}, 5: {"loss": 2.0}}, "diagrams": {}}
    )
    assert validation.initial == {"loss": 3.0}
    assert validation.final == {"loss": 2.0}
    assert validation.best == {"step": 2.0, "loss": 1.0}
    assert validation.state_dict()["history"][5] == {"loss": 2.0}


@pytest.mark.parametrize(("every", "at"), [(1, [0, 1, 2, 3]), (2, [0, 2, 3]), (9, [0, 3])])
def test_validation_runs_when_due_and_at_the_end(every, at, tmp_path):
    stage = small_stage(tmp_path, trainer={"validate_every_n_steps": every})
    run_stage(stage, RunFolder(tmp_path))
    assert [int(row["step"]) for row in rows(tmp_path / "metrics.csv") if row["val/loss"]] == at


class Asked(Listener):
    """Is asked to stop when it is looked at for the n-th time during a validation."""

    def __init__(self, looks):
        self.looks, self._previous = looks, {}

    @property
    def asked(self):
        self.looks -= 1
        return signal.SIGTERM if self.looks < 0 else None


def test_a_validation_that_was_cut_short_is_made_up_for(tmp_path, monkeypatch):
    live = {
        "mode": "live",
        "trainer": {"max_steps": 4, "validate_every_n_steps": 2},
        "data": {"lists_per_step": 2},
    }
    run_stage(small_stage(tmp_path / "whole", **live), RunFolder(tmp_path / "whole"))
    # asked after each of 2 steps (once in each), then before the second batch of the validation at step 2
    monkeypatch.setattr("alignlab.training.stage.Listener", lambda: Asked(looks=2))
    folder = RunFolder(tmp_path / "parts")
    stopped = run_stage(small_stage(tmp_path / "parts", **live), folder)
    assert (stopped.status, stopped.steps, stopped.stopped_by) == ("interrupted", 2, signal.SIGTERM)
    told = [int(row["step"]) for row in rows(folder.metrics) if row["val/loss"]]
    assert told == [0]
    monkeypatch.undo()
    run_stage(small_stage(tmp_path / "parts", **live), folder)
    reports = [
        [{k: v for k, v in row.items() if k not in TIMED} for row in rows(tmp_path / name / "metrics.csv")]
        for name in ("whole", "parts")
    ]
    assert reports[0] == reports[1]
    assert [int(row["step"]) for row in reports[1] if row["val/loss"]] == [0, 2, 4]


def test_signals_are_given_back(tmp_path):
    before = [signal.getsignal(number) for number in SIGNALS]
    run_stage(small_stage(tmp_path), RunFolder(tmp_path))
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_gradients_are_clipped_to_the_norm(tmp_path):
    moved = {}
    for clip in (1e-3, None):

        def sgd(policy, steps, count):
            optimizer = torch.optim.SGD(policy.parameters(), lr=1.0)
            return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)

        settings = {"max_steps": 1, "gradient_clip_val": clip}
        stage = small_stage(tmp_path, trainer=settings, make_optimizer=sgd)
        result = run_stage(stage, RunFolder(tmp_path / str(clip)))
        start = dict(small_policy().model.named_parameters())
        gaps = [(p - start[name]).pow(2).sum() for name, p in result.model.named_parameters()]
        moved[clip] = torch.stack(gaps).sum().sqrt().item()
    assert moved[1e-3] == pytest.approx(1e-3, rel=1e-2)
    assert moved[None] > 0.01


@pytest.mark.parametrize(
    ("name", "factors"),
    {
        "constant_with_warmup": [0, 0.5, 1, 1, 1, 1, 1, 1, 1, 1],
        "linear": [0, 0.5, 1, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8],
        "cosine": [0, 0.5, *((1 + math.cos(math.pi * t / 8)) / 2 for t in range(8))],
    }.items(),
)
def test_schedules(name, factors):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
    made = schedule(optimizer, name=name, warmup_ratio=0.2, steps=10)
    seen = []
    for _ in range(10):
        seen.append(optimizer.param_groups[0]["lr"] / 2.0)
        optimizer.step()
        made.step()
    assert seen == pytest.approx(factors)


def test_the_automatic_learning_rate():
    assert auto_lr(7_000_000_000) == pytest.approx(5e-7)
    assert auto_lr(70_000_000) == pytest.approx(5e-6)
    assert auto_lr(0) > auto_lr(1000) > auto_lr(10**9)


def test_only_what_learns_is_trained():
    policy = small_policy()
    policy.model.lm_head.weight.requires_grad_(False)
    assert all(p is not policy.model.lm_head.weight for p in trainable(policy))


@pytest.mark.parametrize("equal", [True, False])
def test_the_start_is_read_from_the_cache_where_the_policy_is_the_reference(equal, monkeypatch):
    monkeypatch.setattr("alignlab.training.callbacks.validation.sources_of", lambda rows: {})
    module, trainer = Mock(spec=PreferenceModule), Mock(spec=L.Trainer, global_step=0)
    module.evaluate.return_value, module.reliability = {"loss": 0.5}, {}
    trainer.precision_plugin = Precision()
    loader = Mock(spec=StepLoader, rows=[])
    Validation(loader, 2, starts_as_reference=equal).on_train_start(trainer, module)
    assert module.evaluate.call_args.kwargs["untrained"] == equal
    split, metrics = module.report.call_args.args
    assert (split, metrics["loss"]) == ("val", 0.5)


def test_the_cached_start_is_the_measured_one(tmp_path):
    def initial(name, is_start):
        reference = ReferenceSpec("auto", "small", load_small, is_start=is_start)
        result = run_stage(small_stage(tmp_path / name, reference=reference), RunFolder(tmp_path / name))
        return {name: result.initial[f"val/{name}"] for name in smooth}

    smooth = (
        "loss",
        "logps/chosen",
        "logps/rejected",
        "rewards/chosen",
        "rewards/margin",
    )  # no ties are counted
    cached = initial("cached", is_start=True)
    assert cached == pytest.approx(initial("measured", is_start=False), abs=1e-5)
    assert cached["loss"] == pytest.approx(math.log(2))
