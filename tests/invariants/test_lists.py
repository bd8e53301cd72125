"""What must not matter: the order of a list, absent responses, and what their slots hold."""

import math

import pytest
import torch
from torch.testing import assert_close

from tests.invariants.cases import ANCHORED, CASES, base_only, build, loss_and_gradients, random_signals

GARBAGE = [math.nan, math.inf, -math.inf, 1e30]
WIDTHS = [2, 4]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("case", CASES)
def test_order_of_responses(case, width):
    objective = build(case)
    signals = random_signals(objective, width=width)
    orders = torch.stack(
        [torch.randperm(width, generator=torch.Generator().manual_seed(i)) for i in range(6)]
    )
    shuffled = {name: value.gather(1, orders) for name, value in signals.items()}
    loss, gradients = loss_and_gradients(objective, signals)
    shuffled_loss, shuffled_gradients = loss_and_gradients(objective, shuffled)
    assert_close(shuffled_loss, loss)
    for name, gradient in gradients.items():
        assert_close(shuffled_gradients[name], gradient.gather(1, orders))


@pytest.mark.parametrize("case", CASES)
def test_order_of_lists(case):
    objective = build(case)
    signals = random_signals(objective)
    weights = torch.arange(1.0, 7.0, dtype=torch.float64)
    loss, gradients = loss_and_gradients(objective, signals, weights=weights)
    turned = {name: value.flip(0) for name, value in signals.items()}
    turned_loss, turned_gradients = loss_and_gradients(objective, turned, weights=weights.flip(0))
    assert_close(turned_loss, loss)
    for name, gradient in gradients.items():
        assert_close(turned_gradients[name].flip(0), gradient)


@pytest.mark.parametrize("garbage", GARBAGE)
@pytest.mark.parametrize("case", CASES)
def test_absent_slots_change_nothing(case, garbage):
    """Extra masked slots, before and after the real ones, have no say and exactly no gradient."""
    objective = build(case)
    signals = random_signals(objective)
    clean = {n: v.masked_fill(~signals["where"], 0) for n, v in base_only(signals).items()}
    clean["where"] = signals["where"]
    padded = {
        name: torch.nn.functional.pad(value.masked_fill(~signals["where"], garbage), (1, 2), value=garbage)
        for name, value in base_only(signals).items()
    }
    padded["where"] = torch.nn.functional.pad(signals["where"], (1, 2), value=False)
    loss, gradients = loss_and_gradients(objective, clean)
    padded_loss, padded_gradients = loss_and_gradients(objective, padded)
    assert_close(padded_loss, loss)
    for name, gradient in gradients.items():
        assert_close(padded_gradients[name][:, 1:5], gradient)
        assert (padded_gradients[name][~padded["where"]] == 0).all()


@pytest.mark.parametrize("case", CASES)
def test_empty_lists_change_nothing(case):
    objective = build(case)
    signals = random_signals(objective)
    more = {n: torch.cat([v, torch.full_like(v[:2], math.nan)]) for n, v in base_only(signals).items()}
    more["where"] = torch.cat([signals["where"], torch.zeros(2, 4, dtype=torch.bool)])
    loss, gradients = loss_and_gradients(objective, signals)
    more_loss, more_gradients = loss_and_gradients(objective, more)
    assert_close(more_loss, loss)
    for name, gradient in gradients.items():
        assert_close(more_gradients[name][:6], gradient)
        assert (more_gradients[name][6:] == 0).all()


@pytest.mark.parametrize("case", CASES)
def test_where_defaults_to_everywhere(case):
    objective = build(case)
    signals = random_signals(objective)
    signals["where"] = torch.ones_like(signals["where"])
    assert_close(objective(**base_only(signals)).loss, objective(**signals).loss)


@pytest.mark.parametrize("case", ANCHORED)
def test_only_the_distance_from_the_reference_counts(case):
    """Adding the same nats to policy and reference is no change."""
    objective = build(case)
    signals = random_signals(objective)
    shift = torch.linspace(-30, 30, 24, dtype=torch.float64).reshape(6, 4)
    moved = signals | {name: signals[name] + shift for name in ("logps", "ref_logps")}
    assert_close(objective(**moved).loss, objective(**signals).loss)
