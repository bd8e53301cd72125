"""Losses of a reward model's values: against the shared vectors and a plain computation, and what they do not see."""

import itertools
import math

import pytest
import torch

from alignlab import load_objective
from alignlab.losses.lists.plackett_luce_values import plackett_luce_values
from alignlab.losses.lists.softmax_values import softmax_values
from alignlab.losses.pairs.bradley_terry import bradley_terry
from tests.vectors import more, tensor

CASE = more()["B1_bt"]
CHOSEN, REJECTED, MARGIN = (tensor(CASE["inputs"][name]) for name in ("chosen", "rejected", "margin"))
VALUES = torch.tensor([[0.3, -1.0, 2.0], [0.5, 0.25, 9.0]], dtype=torch.float64)
LABELS = torch.tensor([[0.5, 0.0, 1.0], [0.2, 0.9, 0.0]], dtype=torch.float64)
WHERE = torch.tensor([[True, True, True], [True, True, False]])


@pytest.mark.parametrize(
    ("vector", "hyper"),
    [
        ("bt", {}),
        ("bt_margin", {"margin": 1.0}),
        ("bt_smooth", {"epsilon": CASE["inputs"]["alpha"]}),
        ("bt_tau", {"temperature": CASE["inputs"]["tau"]}),
    ],
)
def test_bradley_terry_vectors(vector, hyper):
    found = bradley_terry(CHOSEN, REJECTED, MARGIN, **hyper)
    torch.testing.assert_close(found, tensor(CASE["outputs"][vector]), atol=1e-12, rtol=1e-12)


def test_centring_vector():
    penalty = bradley_terry(CHOSEN, REJECTED, MARGIN, centring=0.01) - bradley_terry(CHOSEN, REJECTED, MARGIN)
    torch.testing.assert_close(penalty, tensor(CASE["outputs"]["center_penalty_0p01"]))


@pytest.mark.parametrize("name", ["bradley_terry", "plackett_luce_values"])
def test_only_differences_of_values_matter(name):
    objective = load_objective(name)
    losses = [objective(values=VALUES + c, labels=LABELS, where=WHERE).loss for c in (0.0, 40.0)]
    torch.testing.assert_close(*losses)
    equal = objective(values=torch.zeros(1, 2), labels=LABELS[:1, :2].float()).loss
    assert equal.item() == pytest.approx(math.log(2))


def test_a_margin_has_a_gradient_and_asks_for_more():
    pushes, losses = [], []
    for margin in (0.0, 0.5, 1.0):
        chosen = CHOSEN.clone().requires_grad_()
        losses.append(bradley_terry(chosen, REJECTED, torch.ones(3, dtype=chosen.dtype), margin=margin))
        pushes.append(torch.autograd.grad(losses[-1].sum(), chosen)[0])
    assert (losses[0] < losses[1]).all()
    assert (losses[1] < losses[2]).all()
    assert (pushes[0] > pushes[1]).all()  # more negative: pushed up harder
    assert (pushes[1] > pushes[2]).all()


def test_plackett_luce_is_the_likelihood_of_drawing_in_order():
    for temperature in (1.0, 0.5):
        found = plackett_luce_values(VALUES, LABELS, WHERE, temperature=temperature)
        orders = [(2, 0, 1), (1, 0)]
        for b, order in enumerate(orders):
            weights = [math.exp(VALUES[b, k].item() / temperature) for k in order]
            likelihood = math.prod(weights[i] / sum(weights[i:]) for i in range(len(order)))
            assert found[b].item() == pytest.approx(-math.log(likelihood))


def test_plackett_luce_sums_to_one_over_all_orders():
    values, everywhere = VALUES[:1], torch.ones(1, 3, dtype=torch.bool)
    orders = [torch.tensor([order], dtype=torch.float64) for order in itertools.permutations(range(3))]
    total = sum(math.exp(-plackett_luce_values(values, order, everywhere).item()) for order in orders)
    assert total == pytest.approx(1)


@pytest.mark.parametrize(("temperature", "scale"), [(1.0, 1.0), (0.5, 2.0)])
def test_rewards_are_the_values_over_the_temperature(temperature, scale):
    reward = load_objective("bradley_terry", temperature=temperature).reward
    torch.testing.assert_close(reward.of({"values": VALUES, "lengths": VALUES}), scale * VALUES)
    assert reward.unit == "score"


def test_softmax_is_the_mean_log_likelihood_of_a_draw_by_the_labels():
    found = softmax_values(VALUES, LABELS, WHERE, temperature=0.5)
    for b, size in enumerate((3, 2)):
        weights = [math.exp(value / 0.5) for value in VALUES[b, :size].tolist()]
        shares = [label / LABELS[b, :size].sum().item() for label in LABELS[b, :size].tolist()]
        expected = -sum(s * math.log(w / sum(weights)) for s, w in zip(shares, weights, strict=True))
        assert found[b].item() == pytest.approx(expected, abs=1e-9)


def test_a_margin_by_strength_is_in_force_by_default():
    signals = {"values": tensor([[1.0, 0.5], [0.2, 0.6]]), "labels": tensor([[0.3, 0.0], [0.1, 0.0]])}
    objective = load_objective("bt_margin")
    expected = tensor(CASE["outputs"]["bt_margin"])[:2].mean()
    torch.testing.assert_close(objective(**signals).loss, expected, atol=1e-9, rtol=0)


def test_regression_counts_what_is_known():
    rewards = torch.tensor([[3.0, math.nan], [-1.0, 4.0]], dtype=torch.float64)
    values = torch.tensor([[1.0, 9.0], [0.0, 2.0]], dtype=torch.float64, requires_grad=True)
    objective = load_objective("regression", scale=0.5)
    outcome = objective(values=values, rewards=rewards)
    assert outcome.loss.item() == pytest.approx((0.5**2 + 0.5**2 + 0.0) / 3)
    (slope,) = torch.autograd.grad(outcome.loss, values)
    torch.testing.assert_close(slope, tensor([[-1 / 3, 0.0], [1 / 3, 0.0]]))
    assert objective.counts(rewards=rewards)["regression"] == 3


def test_ties_pull_values_together_and_leave_other_pairs_alone():
    objective = load_objective("bradley_terry", regularizers={"ties": 2.0})
    values = torch.tensor([[2.0, 0.0, 5.0]], dtype=torch.float64, requires_grad=True)
    outcome = objective(values=values, labels=tensor([[0.5, 0.5, 0.9]]))
    expected = (math.log1p(math.exp(-2)) + math.log1p(math.exp(2))) / 2
    assert outcome.parts["ties"].mean.item() == pytest.approx(expected)
    (slope,) = torch.autograd.grad(outcome.parts["ties"].mean, values)
    assert slope[0, 0].item() == pytest.approx(1 / (1 + math.exp(-2)) - 0.5)
    assert slope[0, 2] == 0


@pytest.mark.parametrize("name", ["bradley_terry", "bt_margin", "plackett_luce_values", "softmax_values"])
def test_slopes_are_those_of_finite_differences(name):
    objective, values = load_objective(name), VALUES.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda v: objective(values=v, labels=LABELS, where=WHERE).loss, (values,))
