"""Calibration: the vector, both forms of the error, and what a temperature can and cannot change."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from alignlab.metrics import calibration
from tests.vectors import more, tensor

MARGINS = st.lists(st.floats(-8, 8), min_size=1, max_size=30).map(tensor)


def test_vector():
    case = more()["D6_ece"]
    margins, bins = tensor(case["inputs"]["margins_chosen_minus_rejected"]), case["inputs"]["bins"]
    found = {
        "ece_both_orders_uniform": calibration.both_orders(margins, bins=bins).ece,
        "ece_5": calibration.both_orders(margins, bins=5).ece,
        "confidence_form": calibration.confidence(margins, bins=bins).ece,
        "brier": calibration.brier(margins).mean().item(),
        "nll": calibration.nll(margins).mean().item(),
    }
    assert found == pytest.approx(case["outputs"], abs=1e-9)


@settings(max_examples=50, deadline=None)
@given(margins=MARGINS)
def test_errors_are_shares_and_the_largest_bounds_the_expected(margins):
    for form in (calibration.both_orders, calibration.confidence, calibration.equal_mass):
        bins = form(margins)
        assert 0 <= bins.ece <= bins.mce + 1e-12 <= 1 + 1e-12
        assert bins.counts.sum().item() == len(margins) * (1 if form is calibration.confidence else 2)


@settings(max_examples=50, deadline=None)
@given(margins=MARGINS, seed=st.integers(0, 9))
def test_order_changes_nothing(margins, seed):
    order = torch.randperm(len(margins), generator=torch.Generator().manual_seed(seed))
    assert calibration.both_orders(margins[order]).ece == pytest.approx(calibration.both_orders(margins).ece)


@pytest.mark.parametrize("form", [calibration.both_orders, calibration.confidence, calibration.equal_mass])
def test_rewards_that_come_true_as_often_as_they_say_are_calibrated(form):
    three_to_one, even = math.log(3), 0.0
    margins = tensor([three_to_one] * 3 + [-three_to_one] + [even] * 2)
    assert form(margins).ece == pytest.approx(0, abs=1e-12)
    assert form(5 * margins).ece > 0.05


def test_without_pairs_there_is_no_error():
    assert math.isnan(calibration.both_orders(torch.zeros(0)).ece)


@settings(max_examples=50, deadline=None)
@given(
    right=st.lists(st.floats(0.1, 5), min_size=2, max_size=20),
    wrong=st.lists(st.floats(0.1, 5), min_size=1, max_size=20),
)
def test_the_fitted_temperature_is_the_best(right, wrong):
    margins = tensor(right + [-m for m in wrong])
    temperature = calibration.fitted_temperature(margins)
    if sum(right) <= sum(wrong):
        assert temperature == math.inf or temperature > 1e3
        return
    best = calibration.nll(margins / temperature).mean().item()
    for other in (0.9, 1.1):
        assert best <= calibration.nll(margins / (temperature * other)).mean().item() + 1e-12


def test_where_all_pairs_are_right_no_temperature_is_too_low():
    assert calibration.fitted_temperature(tensor([1.0, 2.0])) == 0
