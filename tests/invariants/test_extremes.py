"""Finite values and gradients where there is nothing to learn from, and far from the reference."""

import pytest
import torch

from tests.invariants.cases import (
    CASES,
    LISTWISE,
    PAIRWISE,
    build,
    loss_and_gradients,
    policy_leaves,
    random_signals,
)


def assert_finite(loss, gradients):
    assert loss.isfinite()
    for gradient in gradients.values():
        assert gradient.isfinite().all()


@pytest.mark.parametrize("case", CASES)
def test_no_response_at_all_is_a_zero_with_its_graph(case):
    """A rank whose micro-batch holds nothing still takes part in the backward."""
    objective = build(case)
    signals = random_signals(objective)
    signals["where"] = torch.zeros_like(signals["where"])
    loss, gradients = loss_and_gradients(objective, signals)
    assert loss == 0
    for gradient in gradients.values():
        assert (gradient == 0).all()


@pytest.mark.parametrize("width", [1, 4])
@pytest.mark.parametrize("case", CASES)
def test_equal_labels_are_finite(case, width):
    objective = build(case)
    signals = random_signals(objective, width=width)
    if "labels" in signals:
        signals["labels"] = torch.full_like(signals["labels"], 0.5)
    assert_finite(*loss_and_gradients(objective, signals))


@pytest.mark.parametrize("case", [c for c in CASES if c.partition("-")[0] in PAIRWISE])
def test_equal_labels_teach_pairwise_losses_nothing(case):
    objective = build(case)
    signals = random_signals(objective)
    signals["labels"] = torch.full_like(signals["labels"], 0.5)
    loss, gradients = loss_and_gradients(objective, signals)
    assert loss == 0
    assert (gradients["logps"] == 0).all()


@pytest.mark.parametrize("scale", [1e3, 1e5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("width", [2, 4])
@pytest.mark.parametrize("case", CASES)
def test_huge_log_ratios_are_finite(case, width, dtype, scale):
    """Log-ratios of both signs, up to `scale` nats, for and against the labels."""
    objective = build(case)
    signals = random_signals(objective, width=width, dtype=dtype)
    sign = 1 - 2 * (torch.arange(6 * width).reshape(6, width) % 2)
    for name in ("logps", "kl_reverse", "kl_forward"):
        if name in signals:
            signals[name] = sign * scale if name == "logps" else signals[name] * scale
            signals[name] = signals[name].to(dtype)
    assert_finite(*loss_and_gradients(objective, signals))
    if "labels" in signals:
        signals["labels"] = 1 - signals["labels"]
    assert_finite(*loss_and_gradients(objective, signals))


@pytest.mark.parametrize("case", CASES)
def test_policy_equal_to_its_reference_is_finite(case):
    objective = build(case)
    signals = random_signals(objective)
    for name in set(signals) & {"kl_reverse", "kl_forward"}:
        signals[name] = torch.zeros_like(signals[name])
    if "ref_logps" in signals:
        signals["ref_logps"] = signals["logps"].clone()
    assert_finite(*loss_and_gradients(objective, signals))


@pytest.mark.parametrize("name", LISTWISE)
def test_ties_in_the_scores_are_finite(name):
    objective = build(name)
    signals = random_signals(objective)
    signals["logps"] = torch.zeros_like(signals["logps"])
    if "ref_logps" in signals:
        signals["ref_logps"] = torch.zeros_like(signals["logps"])
    assert_finite(*loss_and_gradients(objective, signals))


@pytest.mark.parametrize("case", CASES)
def test_gradient_is_the_slope(case):
    """torch.autograd.gradcheck, by every signal of the policy."""
    objective = build(case)
    leaves = policy_leaves(random_signals(objective, lists=3, width=3))
    names = [name for name, leaf in leaves.items() if leaf.requires_grad]

    def loss(*scores):
        return objective(**(leaves | dict(zip(names, scores, strict=True)))).loss

    assert torch.autograd.gradcheck(loss, tuple(leaves[name] for name in names))
