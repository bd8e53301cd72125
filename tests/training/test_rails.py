"""What stops a run: a wrong reference at step 0, and a loss that is no number."""

import json
import math

import numpy as np
import pytest
import torch

from alignlab.errors import RunError
from alignlab.objectives.load import load_objective
from alignlab.training.rails import NonFiniteError, check_finite, check_start
from alignlab.training.run_folder import RunFolder
from alignlab.training.stage import run_stage
from tests.training.small import load_small, small_stage


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
        for file in (tmp_path / "cache/reference").glob("*.npy"):
            stale = np.load(file)
            stale["ref_logps"] += np.random.default_rng(0).normal(size=stale.shape)
            np.save(file, stale)
        stage, other = (
            small_stage(tmp_path),
            stage.reference.__class__("precomputed", "small", load_small, True),
        )
    stage = small_stage(tmp_path, reference=other)
    with pytest.raises(RunError, match=r"at zero log-ratios.*row .*response \d"):
        run_stage(stage, RunFolder(tmp_path))
    assert not RunFolder(tmp_path).last_checkpoint.exists()


def test_the_rail_can_be_switched_off(tmp_path):
    other = small_stage(tmp_path).reference.__class__(
        "live", "other", lambda: load_small(seed=1), True, False
    )
    assert run_stage(small_stage(tmp_path, reference=other), RunFolder(tmp_path)).steps == 3


@pytest.mark.parametrize(("loss", "norm"), [(math.nan, 1.0), (1.0, math.inf), (math.inf, math.nan)])
def test_values_that_are_no_numbers(loss, norm):
    check_finite(3, 1.0, 2.0, ["a"])
    with pytest.raises(NonFiniteError) as caught:
        check_finite(3, loss, norm, ["a", "b"])
    assert caught.value.details["ids"] == ["a", "b"]
    assert json.loads(json.dumps(caught.value.details))["step"] == 3


def test_a_non_finite_loss_keeps_the_weights_as_they_were(tmp_path):
    def exploding(policy, steps):
        optimizer = torch.optim.SGD(policy.parameters(), lr=1e30)
        return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)

    stage = small_stage(tmp_path, make_optimizer=exploding)
    with pytest.raises(NonFiniteError) as caught:
        run_stage(stage, RunFolder(tmp_path))
    assert len(caught.value.details["ids"]) == 8
    assert caught.value.details["step"] >= 1
