"""Value, per-example values and gradients against the shared vectors."""

import pytest
import torch
from torch.testing import assert_close

from alignlab import load_objective
from tests.vectors import case, given, list_signals, load, pair_signals, tensor

# case -> objective, hyper-parameters
PAIRS = {
    "dpo": ("dpo", {"beta": 0.1}),
    "ipo_sum": ("ipo", {"tau": 0.1, "aggregate": "sum"}),
    "ipo_tokenmean": ("ipo", {"tau": 0.1, "aggregate": "mean"}),
    "slic_calibration": ("slic", {"delta": 1.0}),
    "slic_hf": ("slic", {"delta": 1.0, "lam": 0.1}),
    "slic_calibration_lennorm": ("slic", {"delta": 1.0, "aggregate": "mean"}),
    "simpo": ("simpo", {"beta": 2.0, "gamma": 1.0}),
}
LISTS = {
    "lipo_lambda": ("lipo_lambda", {"beta": 0.5}),
    "lipo_lambda_pairmean": ("lipo_lambda", {"beta": 0.5, "pair_mean": True}),
    "lipo_list_mle": ("list_mle", {"beta": 0.5}),
    "plackett_luce_dpo": ("list_mle", {"beta": 0.5}),
}
ALL = {**PAIRS, **LISTS}


def signals_of(name, dtype=torch.float64):
    return pair_signals(dtype) if name in PAIRS else list_signals(dtype)


def run(name, dtype=torch.float64):
    objective_name, hyper = ALL[name]
    objective = load_objective(objective_name, **hyper)
    signals = signals_of(name, dtype)
    outcome = objective(**given(objective, signals))
    return outcome.loss, outcome.values[objective_name], signals["logps"]


@pytest.mark.parametrize("name", ALL)
def test_value(name):
    loss, values, _ = run(name)
    assert_close(loss, tensor(case(name)["loss"]), rtol=1e-9, atol=1e-9)
    assert_close(values, tensor(case(name)["per_example"]), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ALL)
def test_value_in_float32(name):
    loss, values, _ = run(name, torch.float32)
    assert_close(loss, tensor(case(name)["loss"], torch.float32), rtol=1e-5, atol=1e-5)
    assert_close(values, tensor(case(name)["per_example"], torch.float32), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", PAIRS)
def test_gradient_of_pairs(name):
    loss, _, logps = run(name)
    (gradient,) = torch.autograd.grad(loss, logps)
    expected = tensor([case(name)["grad_logp_w"], case(name)["grad_logp_l"]]).T
    assert_close(gradient, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", LISTS)
def test_gradient_of_lists(name):
    loss, _, logps = run(name)
    (gradient,) = torch.autograd.grad(loss, logps)
    assert_close(gradient, tensor(case(name)["grad_logps"]), rtol=1e-9, atol=1e-9)


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
