"""Every regularizer beside a few objectives, and one regularizer beside every objective."""

import pytest
from torch.testing import assert_close

from alignlab import load_objective
from tests.invariants.batches import loss_and_gradients, random_signals, wanted_by
from tests.invariants.cases import (
    ADDITIVE,
    BESIDE,
    FEW,
    OBJECTIVES,
    OFFSETS,
    REGULARIZERS,
    alone,
    bound,
    for_each,
)

every_combination = for_each("regularizer, name", BESIDE)


@every_combination
def test_weight_zero_leaves_the_plain_objective(regularizer, name):
    plain = bound(load_objective(name))
    objective = bound(load_objective(name, regularizers={regularizer: 0.0}))
    signals = random_signals(objective)
    loss, slopes = loss_and_gradients(objective, signals)
    expected, expected_slopes = loss_and_gradients(plain, wanted_by(plain, signals))
    assert_close(loss, expected)
    for key, slope in slopes.items():
        assert_close(slope, expected_slopes.get(key, 0 * slope))


@for_each("regularizer, name", [c for c in BESIDE if c[0] in ADDITIVE])
def test_additive_term_is_added_with_its_weight(regularizer, name):
    plain, lone = bound(load_objective(name)), bound(alone(regularizer))
    objective = bound(load_objective(name, regularizers={regularizer: 0.7}))
    signals = random_signals(objective)
    outcome = objective(**signals)
    added = lone(**wanted_by(lone, signals)).parts[regularizer].mean
    assert list(outcome.parts) == list(outcome.values) == [name, regularizer]
    assert_close(outcome.loss, plain(**wanted_by(plain, signals)).loss + 0.7 * added)


@pytest.mark.parametrize("offset", OFFSETS)
@pytest.mark.parametrize("regularizer", ADDITIVE)
def test_offset_leaves_additive_terms_alone(regularizer, offset):
    without = bound(load_objective("dpo", regularizers={regularizer: 0.7}))
    objective = bound(load_objective("dpo", regularizers={offset: 2.0, regularizer: 0.7}))
    signals = random_signals(objective)
    outcome, expected = objective(**signals), without(**wanted_by(without, signals))
    assert list(outcome.parts) == ["dpo", regularizer]
    assert_close(outcome.values[regularizer], expected.values[regularizer], rtol=0, atol=0)
    assert_close(outcome.parts[regularizer].mean, expected.parts[regularizer].mean, rtol=0, atol=0)


@for_each("name", OBJECTIVES)
def test_length_offset_is_nats_on_the_log_probability(name):
    plain, weight = bound(load_objective(name)), -0.25
    objective = bound(load_objective(name, regularizers={"length": weight}))
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


@pytest.mark.parametrize("name", FEW)
def test_all_regularizers_at_once(name):
    objective = bound(load_objective(name, regularizers=REGULARIZERS))
    signals = random_signals(objective)
    outcome = objective(**signals)
    assert set(outcome.parts) == {name, *ADDITIVE}
    assert_close(outcome.loss, sum(part.weight * part.mean for part in outcome.parts.values()))
    counts = objective.counts(**{key: signals[key] for key in ("labels", "lengths", "where")})
    assert counts == {key: part.count for key, part in outcome.parts.items()}
