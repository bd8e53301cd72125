"""Pairwise losses: values and gradients in closed form."""

import math

import pytest
import torch

from alignlab import load_objective

CHOSEN, REJECTED = (-12.5, 10.0), (-14.0, 12.0)  # (log-probability, tokens)
REFERENCE = (-13.0, -13.25)
DELTA = (-12.5 + 13.0) - (-14.0 + 13.25)  # difference of log-ratios: 1.25


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def run(name, **hyper):
    """Loss and gradient of one pair, the chosen response first."""
    objective = load_objective(name, **hyper)
    logps = torch.tensor([[CHOSEN[0], REJECTED[0]]], dtype=torch.float64, requires_grad=True)
    signals = {
        "logps": logps,
        "ref_logps": torch.tensor([REFERENCE], dtype=torch.float64),
        "lengths": torch.tensor([[CHOSEN[1], REJECTED[1]]], dtype=torch.float64),
        "labels": torch.tensor([[1.0, 0.0]], dtype=torch.float64),
    }
    loss = objective(**{k: v for k, v in signals.items() if k in objective.signals}).loss
    (gradient,) = torch.autograd.grad(loss, logps)
    return loss.item(), gradient.flatten().tolist()


@pytest.mark.parametrize("beta", [0.01, 0.1, 2.0])
def test_dpo(beta):
    loss, gradient = run("dpo", beta=beta)
    assert loss == pytest.approx(math.log(1 + math.exp(-beta * DELTA)))
    slope = beta * sigmoid(-beta * DELTA)
    assert gradient == pytest.approx([-slope, slope])


@pytest.mark.parametrize("tau", [0.05, 0.1, 1.0])
def test_ipo_sum(tau):
    loss, gradient = run("ipo", tau=tau, aggregate="sum")
    residual = DELTA - 1 / (2 * tau)
    assert loss == pytest.approx(residual**2)
    assert gradient == pytest.approx([2 * residual, -2 * residual])


@pytest.mark.parametrize("tau", [0.05, 0.1, 1.0])
def test_ipo_mean_over_tokens(tau):
    loss, gradient = run("ipo", tau=tau, aggregate="mean")
    residual = 0.5 / 10 - (-0.75) / 12 - 1 / (2 * tau)
    assert loss == pytest.approx(residual**2)
    assert gradient == pytest.approx([2 * residual / 10, -2 * residual / 12])


def test_slic_calibrates_up_to_its_margin():
    loss, gradient = run("slic", delta=2.0)
    assert loss == pytest.approx(2.0 - 1.5)
    assert gradient == [-1.0, 1.0]


def test_slic_rests_beyond_its_margin():
    assert run("slic", delta=1.0) == (0.0, [0.0, 0.0])


def test_slic_cross_entropy_is_on_the_chosen_sum():
    loss, gradient = run("slic", delta=1.0, lam=0.1)
    assert loss == pytest.approx(0.1 * 12.5)
    assert gradient == pytest.approx([-0.1, 0.0])


def test_slic_mean_over_tokens():
    loss, gradient = run("slic", delta=1.0, aggregate="mean")
    assert loss == pytest.approx(1.0 + 12.5 / 10 - 14.0 / 12)
    assert gradient == pytest.approx([-1 / 10, 1 / 12])


@pytest.mark.parametrize(("beta", "gamma"), [(2.0, 1.0), (10.0, 5.0), (2.5, 0.0)])
def test_simpo(beta, gamma):
    loss, gradient = run("simpo", beta=beta, gamma=gamma)
    margin = beta * (-12.5 / 10 + 14.0 / 12) - gamma
    assert loss == pytest.approx(math.log(1 + math.exp(-margin)))
    slope = beta * sigmoid(-margin)
    assert gradient == pytest.approx([-slope / 10, slope / 12])


@pytest.mark.parametrize("name", ["ipo", "simpo", "slic"])
def test_empty_responses_divide_by_one_token(name):
    objective = load_objective(name)
    zeros = torch.zeros(1, 2, dtype=torch.float64)
    signals = {"logps": zeros, "ref_logps": zeros, "lengths": zeros, "labels": torch.tensor([[1.0, 0.0]])}
    loss = objective(**{k: v for k, v in signals.items() if k in objective.signals}).loss
    expected = {"ipo": 1 / (2 * 0.1) ** 2, "simpo": math.log(1 + math.exp(1.0)), "slic": 1.0}[name]
    assert loss.item() == pytest.approx(expected)
