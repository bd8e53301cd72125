"""Vectors of special points: the start, an offset, and the tails of the logistic loss."""

import pytest
import torch
from torch.testing import assert_close

from alignlab import load_objective
from tests.vectors import case, list_signals, load, pair_signals, tensor


def test_lipo_lambda_at_init():
    """All log-ratios 0: ranks are the order of the list."""
    signals = list_signals()
    signals["ref_logps"] = signals["logps"].detach()
    outcome = load_objective("lipo_lambda", beta=0.5)(**signals)
    expected = case("lipo_lambda_at_init")
    assert_close(outcome.loss, tensor(expected["loss"]), rtol=1e-9, atol=1e-9)
    assert_close(outcome.values["lipo_lambda"], tensor(expected["per_example"]), rtol=1e-9, atol=1e-9)


def test_r_dpo_is_dpo_with_a_length_offset():
    hyper, expected = case("r_dpo")["hparams"], case("r_dpo")
    weight = hyper["alpha"] / hyper["beta"]
    objective = load_objective("dpo", beta=hyper["beta"], regularizers={"length": weight})
    signals = pair_signals()
    outcome = objective(**signals)
    (gradient,) = torch.autograd.grad(outcome.loss, signals["logps"])
    assert_close(outcome.loss, tensor(expected["loss"]), rtol=1e-9, atol=1e-9)
    assert_close(outcome.values["dpo"], tensor(expected["per_example"]), rtol=1e-9, atol=1e-9)
    assert_close(gradient, tensor([expected["grad_logp_w"], expected["grad_logp_l"]]).T, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("h", ["+1e5", "-1e5"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dpo_under_stress(h, dtype):
    stress = load()["numerics"]["dpo_margin_stress"]
    logps = tensor([[float(h), 0.0]], dtype)
    zeros, labels = torch.zeros_like(logps), tensor([[1.0, 0.0]], dtype)
    outcome = load_objective("dpo", beta=stress["beta"])(logps=logps, ref_logps=zeros, labels=labels)
    assert_close(outcome.loss, tensor(stress[f"h={h}"], dtype))


@pytest.mark.parametrize("argument", ["-1e4", "-40", "0", "40", "1e4"])
def test_log_sigmoid_keeps_its_tail(argument):
    """DPO with beta 1 is -logsigmoid(h), down to where 1 + e^-h rounds to 1."""
    logps = tensor([[float(argument), 0.0]])
    objective = load_objective("dpo", beta=1.0)
    loss = objective(logps=logps, ref_logps=torch.zeros_like(logps), labels=tensor([[1.0, 0.0]])).loss
    assert_close(loss, -tensor(load()["numerics"]["logsigmoid"][argument]), rtol=1e-9, atol=0)
