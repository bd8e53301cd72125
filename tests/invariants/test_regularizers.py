"""Every regularizer with every objective."""

import pytest
import torch
from torch.testing import assert_close

from alignlab import load_objective
from alignlab.signals import POLICY_SIGNALS
from tests.invariants.cases import (
    ADDITIVE,
    OBJECTIVES,
    OFFSETS,
    REGULARIZERS,
    build,
    loss_and_gradients,
    policy_leaves,
    random_signals,
)

every_objective = pytest.mark.parametrize("name", OBJECTIVES)


def wanted_by(objective, signals):
    return {k: v for k, v in signals.items() if k in objective.signals | {"where"}}


@every_objective
@pytest.mark.parametrize("regularizer", REGULARIZERS)
def test_builds_and_slopes(name, regularizer):
    """The loss is finite and torch.autograd.gradcheck agrees, by every signal of the policy."""
    objective = load_objective(name, regularizers=[regularizer])
    leaves = policy_leaves(random_signals(objective, lists=3, width=3))
    scores = sorted(set(leaves) & POLICY_SIGNALS)

    def loss(*values):
        return objective(**(leaves | dict(zip(scores, values, strict=True)))).loss

    assert torch.autograd.gradcheck(loss, tuple(leaves[score] for score in scores))


@every_objective
@pytest.mark.parametrize("regularizer", REGULARIZERS)
def test_weight_zero_leaves_the_plain_objective(name, regularizer):
    plain, objective = load_objective(name), load_objective(name, regularizers={regularizer: 0.0})
    signals = random_signals(objective)
    loss, gradients = loss_and_gradients(objective, signals)
    expected, expected_gradients = loss_and_gradients(plain, wanted_by(plain, signals))
    assert_close(loss, expected)
    assert_close(gradients["logps"], expected_gradients["logps"])


@every_objective
@pytest.mark.parametrize("regularizer", ADDITIVE)
def test_additive_term_is_added_with_its_weight(name, regularizer):
    plain, alone = load_objective(name), build(f"{regularizer} alone")
    objective = load_objective(name, regularizers={regularizer: 0.7})
    signals = random_signals(objective)
    outcome = objective(**signals)
    expected = (
        plain(**wanted_by(plain, signals)).loss
        + 0.7 * alone(**wanted_by(alone, signals)).parts[regularizer].mean
    )
    assert list(outcome.parts) == list(outcome.values) == [name, regularizer]
    assert_close(outcome.loss, expected)


@every_objective
@pytest.mark.parametrize("offset", OFFSETS)
@pytest.mark.parametrize("regularizer", ADDITIVE)
def test_offset_leaves_additive_terms_alone(name, regularizer, offset):
    without = load_objective(name, regularizers={regularizer: 0.7})
    objective = load_objective(name, regularizers={offset: 2.0, regularizer: 0.7})
    signals = random_signals(objective)
    outcome, expected = objective(**signals), without(**wanted_by(without, signals))
    assert list(outcome.parts) == [name, regularizer]
    assert_close(outcome.values[regularizer], expected.values[regularizer], rtol=0, atol=0)
    assert_close(outcome.parts[regularizer].mean, expected.parts[regularizer].mean, rtol=0, atol=0)


@every_objective
@pytest.mark.parametrize("weight", [0.5, -0.25])
def test_length_offset_is_nats_on_the_log_probability(name, weight):
    plain, objective = load_objective(name), load_objective(name, regularizers={"length": weight})
    signals = random_signals(objective)
    moved = signals | {"logps": signals["logps"] + weight * signals["lengths"]}
    assert_close(objective(**signals).loss, plain(**wanted_by(plain, moved)).loss)


@pytest.mark.parametrize(("name", "aggregate"), [("ipo", "mean"), ("slic", "mean"), ("simpo", None)])
def test_length_offset_vanishes_under_a_mean_over_tokens(name, aggregate):
    """These divide by the length, so `weight * length` adds the same to every response."""
    hyper = {"aggregate": aggregate} if aggregate else {}
    plain, objective = load_objective(name, **hyper), load_objective(name, **hyper, regularizers=["length"])
    signals = random_signals(objective)
    assert_close(objective(**signals).loss, plain(**wanted_by(plain, signals)).loss)


@every_objective
def test_all_regularizers_at_once(name):
    objective = load_objective(name, regularizers=REGULARIZERS)
    signals = random_signals(objective)
    outcome = objective(**signals)
    assert set(outcome.parts) == {name, *ADDITIVE}
    assert_close(outcome.loss, sum(part.weight * part.mean for part in outcome.parts.values()))
    counts = objective.counts(**wanted_by(objective, {k: signals[k] for k in ("labels", "lengths", "where")}))
    assert counts == {key: part.count for key, part in outcome.parts.items()}
