"""What must not matter: the order of a list, absent responses, tokens and steps, and what their places hold."""

import math

import pytest
import torch
from torch.testing import assert_close

from tests.invariants.batches import (
    absent,
    loss_and_gradients,
    padded,
    permuted,
    pool,
    random_signals,
    take,
    unpadded,
)
from tests.invariants.cases import ANCHORED, CASES, build, for_each

BY_PLACE = ("pairs=first_round", "pairs=tournament")
"""Choices of pairs that have neighbours of a list meet."""


@pytest.mark.parametrize("width", [2, 3])
@for_each("case", [case for case in CASES if not case.endswith(BY_PLACE)])
def test_order_of_responses(case, width):
    signals = random_signals(build(case), width=width)
    rng = torch.Generator().manual_seed(0)
    orders = torch.stack([torch.randperm(width, generator=rng) for _ in range(4)])
    shuffled = {name: permuted(name, value, orders) for name, value in signals.items()}
    loss, slopes = loss_and_gradients(build(case), signals)
    shuffled_loss, shuffled_slopes = loss_and_gradients(build(case), shuffled)
    assert_close(shuffled_loss, loss)
    for name, slope in slopes.items():
        assert_close(shuffled_slopes[name], permuted(name, slope, orders))


@for_each("case", CASES)
def test_order_of_lists(case):
    signals = random_signals(build(case)) | {"weights": torch.arange(1.0, 5.0, dtype=torch.float64)}
    order = [2, 0, 3, 1]
    loss, slopes = loss_and_gradients(build(case), signals)
    shuffled_loss, shuffled_slopes = loss_and_gradients(build(case), take(signals, order))
    assert_close(shuffled_loss, loss)
    for name, slope in slopes.items():
        assert_close(shuffled_slopes[name], slope[order])


@pytest.mark.parametrize("garbage", [math.nan, 1e30])
@for_each("case", CASES)
def test_what_is_absent_changes_nothing(case, garbage):
    """More slots around the real ones, more tokens and steps, have no say and exactly no gradient."""
    signals = random_signals(build(case))
    more = padded(signals, garbage)
    loss, slopes = loss_and_gradients(build(case), signals)
    more_loss, more_slopes = loss_and_gradients(build(case), more)
    assert_close(more_loss, loss)
    for name, slope in slopes.items():
        assert_close(unpadded(name, more_slopes[name]), slope)
        assert (slope[absent(name, signals)] == 0).all()
        assert (more_slopes[name][absent(name, more)] == 0).all()


@for_each("case", CASES)
def test_empty_lists_change_nothing(case):
    signals = random_signals(build(case))
    more = {
        name: torch.cat([value, torch.full_like(value[:2], False if name == "where" else math.nan)])
        for name, value in signals.items()
    }
    loss, slopes = loss_and_gradients(build(case), signals)
    more_loss, more_slopes = loss_and_gradients(build(case), more)
    assert_close(more_loss, loss)
    for name, slope in slopes.items():
        assert_close(more_slopes[name][:4], slope)
        assert (more_slopes[name][4:] == 0).all()


@for_each("case", CASES)
def test_where_defaults_to_everywhere(case):
    signals = random_signals(build(case)) | {"lengths": pool()["lengths"]}  # samples alone know no [B, K]
    signals["where"] = torch.ones_like(signals["where"])
    plain = {name: value for name, value in signals.items() if name != "where"}
    assert_close(build(case)(**plain).loss, build(case)(**signals).loss)


@for_each("case", ANCHORED)
def test_only_the_distance_from_the_reference_counts(case):
    """Adding the same nats to policy and reference is no change."""
    signals = random_signals(build(case))
    shift = torch.linspace(-30, 30, 12, dtype=torch.float64).reshape(4, 3)
    moved = signals | {name: signals[name] + shift for name in ("logps", "ref_logps")}
    assert_close(build(case)(**moved).loss, build(case)(**signals).loss)
