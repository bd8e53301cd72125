"""What stops a run: a wrong reference at step 0, and a loss that is no number."""

import json
import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from alignlab.cache import aside
from alignlab.errors import RunError
from alignlab.objective.load import load_objective
from alignlab.runs.folder import RunFolder
from alignlab.training.module import PreferenceModule
from alignlab.training.rails import Finite, NonFiniteError, check_start
from alignlab.training.stage import run_stage
from tests.end_to_end.command import TIMED
from tests.training.small import load_small, small_stage
from tests.training.test_csv_log import rows


def signals(gap=0.0):
    logps = torch.tensor([[-3.0, -4.0], [-5.0, -6.0]])
    shift = torch.tensor([[0.0, 0.0], [0.0, gap]])
    return {"logps": logps + shift, "ref_logps": logps, "labels": torch.tensor([[1.0, 0.0]] * 2)} | {
        "where": torch.ones(2, 2, dtype=torch.bool)
    }


def checked(name, given, tolerance=1e-3, **hyper):
    objective = load_objective(name, **hyper)
    given = given | {"lengths": torch.ones(2, 2)} if "lengths" in objective.signals else given
    wanted = {k: v for k, v in given.items() if k in objective.signals | {"where", "logps", "ref_logps"}}
    loss = objective(**wanted).loss
    check_start(objective, wanted, ["row-a", "row-b"], tolerance=tolerance)
    return loss.item()


@pytest.mark.parametrize("name", ["dpo", "ipo", "lipo_lambda", "list_mle"])
def test_equal_models_pass(name):
    assert math.isfinite(checked(name, signals()))


def test_the_first_loss_of_dpo_is_ln_2():
    assert checked("dpo", signals()) == pytest.approx(math.log(2))


def test_a_length_regularizer_does_not_trip_the_rail():
    assert checked("dpo", signals(), regularizers={"length": 0.5}) > 0


def test_a_gap_is_told_with_row_response_and_values():
    with pytest.raises(RunError) as caught:
        checked("dpo", signals(gap=2.0))
    said = str(caught.value)
    assert all(word in said for word in ("row-b", "response 1", "-4.0000", "-6.0000", "0.693147"))
    assert "reference.path" in said


def test_rounding_may_decide_ranks_and_so_the_value_of_a_listwise_loss():
    three = {
        "logps": torch.zeros(1, 3) + torch.tensor([[0.0, 1e-6, 2e-6]]),
        "ref_logps": torch.zeros(1, 3),
        "labels": torch.tensor([[1.0, 0.4, 0.0]]),
        "where": torch.ones(1, 3, dtype=torch.bool),
    }
    tied = checked("lipo_lambda", three | {"logps": torch.zeros(1, 3)})
    assert abs(checked("lipo_lambda", three) - tied) > 1e-2


def test_a_gap_within_the_tolerance_passes():
    assert checked("dpo", signals(gap=1e-3)) == pytest.approx(math.log(2), abs=1e-3)


@pytest.mark.parametrize("mode", ["live", "precomputed"])
def test_a_run_against_another_reference_stops_at_step_0(mode, tmp_path):
    stage = small_stage(tmp_path, mode="live")
    other = stage.reference.__class__("live", "other", lambda: load_small(seed=1), is_start=True)
    if mode == "precomputed":
        run_stage(small_stage(tmp_path), RunFolder(tmp_path / "first"))
        for file in (tmp_path / "cache/reference").rglob("result.npy"):
            stale = np.load(file)
            stale["ref_logps"] += np.random.default_rng(0).normal(size=stale.shape)
            with aside(file.parent) as place:  # scores of another model, written as they should be
                place.mkdir()
                np.save(place / file.name, stale)
        other = stage.reference.__class__("precomputed", "small", load_small, True)
    stage = small_stage(tmp_path, reference=other)
    with pytest.raises(RunError, match=r"at zero log-ratios.*row .*response \d"):
        run_stage(stage, RunFolder(tmp_path))
    assert not RunFolder(tmp_path).last_checkpoint.exists()


def test_the_rail_can_be_switched_off(tmp_path):
    other = small_stage(tmp_path).reference.__class__(
        "live", "other", lambda: load_small(seed=1), True, False
    )
    assert run_stage(small_stage(tmp_path, reference=other), RunFolder(tmp_path)).steps == 3


FAR = [(math.nan, 1.0), (1.0, math.inf), (math.inf, math.nan)]


@pytest.mark.parametrize(("loss", "norm"), FAR)
def test_values_that_are_no_numbers(loss, norm):
    rail = Finite()
    assert rail.passes(3, 1.0, 2.0, [], dict)
    with pytest.raises(
        NonFiniteError, match=r"step 3: loss .*lower optimizer.lr, or set trainer.on_nonfinite=skip"
    ):
        rail.passes(3, loss, norm, [], dict)


def test_as_many_steps_are_left_out_as_asked_for():
    rail = Finite(skips=2)
    assert [rail.passes(step, math.nan, 1.0, [], dict) for step in (1, 2)] == [False, False]
    assert rail.passes(3, 1.0, 1.0, [], dict)
    with pytest.raises(NonFiniteError, match=r"raise trainer.max_nonfinite=2"):
        rail.passes(4, math.nan, 1.0, [], dict)


def test_a_non_finite_step_saves_its_batch_and_stops(tmp_path):
    def exploding(policy, steps, count):
        optimizer = torch.optim.SGD(policy.parameters(), lr=1e30)
        return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)

    stage = small_stage(tmp_path, make_optimizer=exploding, data={"microbatch_tokens": 200})
    with pytest.raises(NonFiniteError, match=r"step-000002\.json"):
        run_stage(stage, RunFolder(tmp_path))
    told = json.loads((tmp_path / "nonfinite/step-000002.json").read_text())
    assert told["step"] == 2
    assert len(told["ids"]) == len(set(told["ids"])) == 8
    assert [row for part in told["micro_batches"] for row in part["ids"]] == told["ids"]
    assert all(part["not_finite"]["logps"] for part in told["micro_batches"])
    tensors = load_file(tmp_path / "nonfinite/step-000002.safetensors")
    for i, part in enumerate(told["micro_batches"]):
        assert tensors[f"{i}.tokens"].shape == tensors[f"{i}.row"].shape
        assert tensors[f"{i}.signals.logps"].shape[0] == len(part["ids"])
        assert not tensors[f"{i}.signals.logps"].isfinite().all()


@pytest.fixture
def poisoned(monkeypatch):
    """`poisoned(3)`: the third step finds log-probabilities that are no numbers."""
    signals = PreferenceModule.signals

    def at(step):
        def found(module, batch):
            bad = module.terms.training and module.global_step == step - 1
            given = signals(module, batch)
            return given | {"logps": given["logps"] * math.nan} if bad else given

        monkeypatch.setattr(PreferenceModule, "signals", found)

    return at


def skipping(folder, steps, skips=1):
    """Trained with a loss that has a running state: final weights, that state, and what was reported."""
    trainer = {"max_steps": steps, "on_nonfinite": "skip", "max_nonfinite": skips}
    stage = small_stage(folder, "bco", mode="live", hyper={"delta": "running"}, trainer=trainer)
    model = run_stage(stage, RunFolder(folder)).model
    reported = [{k: v for k, v in row.items() if k not in TIMED} for row in rows(folder / "metrics.csv")]
    return model.state_dict(), stage.objective.modules["bco"].state_dict(), reported


def test_a_step_left_out_moves_nothing_and_counts(tmp_path, poisoned):
    poisoned(3)
    before, state_before, _ = skipping(tmp_path / "two", steps=2)
    after, state_after, told = skipping(tmp_path / "three", steps=3)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(torch.equal(state_before[name], state_after[name]) for name in state_before)
    trained = [row for row in told if row["train/loss"]]
    assert [row["train/nonfinite"] for row in trained] == ["0", "0", "1"]
    assert [row["train/loss"] == "nan" for row in trained] == [False, False, True]


def test_what_follows_a_step_left_out_is_exact_on_resume(tmp_path, poisoned):
    poisoned(3)
    whole, state, told = skipping(tmp_path / "whole", steps=6)
    skipping(tmp_path / "parts", steps=4)
    resumed, resumed_state, retold = skipping(tmp_path / "parts", steps=6)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert all(torch.equal(state[name], resumed_state[name]) for name in state)
    trained = [[row for row in report if row["train/loss"]] for report in (told, retold)]
    assert trained[0] == trained[1]
    assert len(trained[0]) == 6
