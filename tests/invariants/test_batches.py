"""The loss of a global batch, however it is cut, weighted, or counted."""

import pytest
import torch
from torch.testing import assert_close

from tests.invariants.batches import (
    cut,
    data_only,
    gradients,
    loss_and_gradients,
    policy_leaves,
    random_signals,
    step,
    take,
)
from tests.invariants.cases import CASES, LEARNING, RUN_CASES, build, for_each

CUTS = [([2, 1, 1], "mean"), ([1, 3], "sum")]
WEIGHTS = torch.tensor([1.0, 0.5, 0.0, 3.0], dtype=torch.float64)


def shares(objective, micro):
    """The share of each micro-batch in the loss of the step, and its leaves."""
    counts = [objective.counts(**data_only(batch)) for batch in micro]
    total = {name: torch.stack([c[name] for c in counts]).sum() for name in counts[0]}
    for batch, gathered in zip(micro, step(objective, micro), strict=True):
        leaves = policy_leaves(batch)
        yield objective(**leaves, gathered=gathered).loss_over(total), leaves


@pytest.mark.parametrize(("sizes", "reduction"), CUTS, ids=str)
@for_each("case", CASES)
def test_micro_batches_add_up(case, sizes, reduction):
    """Shares over the global counts, known from data alone, sum to the loss and gradient of the whole."""
    signals = random_signals(build(case)) | {"weights": WEIGHTS}
    loss, slopes = loss_and_gradients(build(case, reduction=reduction), signals)
    found = [
        (share.detach(), gradients(share, leaves))
        for share, leaves in shares(build(case, reduction=reduction), cut(signals, sizes))
    ]
    assert_close(torch.stack([share for share, _ in found]).sum(), loss)
    for name, slope in slopes.items():
        assert_close(torch.cat([part[name] for _, part in found]), slope)


@pytest.mark.parametrize("case", LEARNING)
def test_micro_batches_add_up_in_parameters_of_terms(case):
    one, other = build(case), build(case)
    signals = random_signals(one)
    one(**signals).loss.backward()
    for share, _ in shares(other, cut(signals, [1, 3])):
        share.backward()
    for name, module in one.modules.items():
        for whole, pieces in zip(module.parameters(), other.modules[name].parameters(), strict=True):
            assert (whole.grad != 0).any()
            assert_close(pieces.grad, whole.grad)


@pytest.mark.parametrize("case", RUN_CASES)
def test_a_value_of_the_run_counts_once_a_step(case):
    objective = build(case)
    signals = random_signals(objective)
    found = torch.stack([share for share, _ in shares(objective, cut(signals, [2, 1, 1]))])
    assert_close(found.sum(), objective(**signals).loss)


@for_each("case", CASES)
def test_parts_and_reports_add_up(case):
    signals = random_signals(build(case)) | {"weights": WEIGHTS}
    whole, objective, micro = build(case)(**signals), build(case), cut(signals, [3, 1])
    outcomes = [
        objective(**batch, gathered=gathered)
        for batch, gathered in zip(micro, step(objective, micro), strict=True)
    ]
    pieces = [{**outcome.parts, **outcome.reports} for outcome in outcomes]
    for name, part in {**whole.parts, **whole.reports}.items():
        assert_close(sum(p[name].sum for p in pieces), part.sum)
        assert_close(sum(p[name].count for p in pieces), part.count)


@for_each("case", CASES)
def test_counts_come_from_the_data_alone(case):
    objective = build(case)
    one, noise = random_signals(objective), random_signals(objective, seed=1)
    other = noise | data_only(one)
    before = objective.counts(**data_only(one), weights=WEIGHTS)
    for signals in (one, other):
        parts = objective(**signals, weights=WEIGHTS).parts
        assert {name: part.count.item() for name, part in parts.items()} == {
            name: count.item() for name, count in before.items()
        }
    assert all(count > 0 for count in before.values())


@for_each("case", CASES)
def test_weight_two_is_the_list_twice(case):
    signals = random_signals(build(case))
    weights = torch.tensor([2.0, 1, 1, 2], dtype=torch.float64)
    twice = [0, 1, 2, 3, 0, 3]
    loss, slopes = loss_and_gradients(build(case), signals, weights=weights)
    doubled_loss, doubled = loss_and_gradients(build(case), take(signals, twice))
    assert_close(doubled_loss, loss)
    for name, slope in slopes.items():
        assert_close(torch.zeros_like(slope).index_add(0, torch.tensor(twice), doubled[name]), slope)


@for_each("case", CASES)
def test_weight_zero_is_the_list_left_out(case):
    signals = random_signals(build(case))
    weights = torch.tensor([1.0, 0, 1, 1], dtype=torch.float64)
    loss, slopes = loss_and_gradients(build(case), signals, weights=weights)
    kept_loss, kept = loss_and_gradients(build(case), take(signals, weights > 0))
    assert_close(kept_loss, loss)
    for name, slope in slopes.items():
        assert_close(slope[weights > 0], kept[name])
        assert (slope[weights == 0] == 0).all()


@for_each("case", CASES)
def test_sum_is_mean_times_count(case):
    signals = random_signals(build(case))
    mean, total = build(case)(**signals), build(case, reduction="sum")(**signals)
    (part,) = mean.parts.values()
    assert_close(total.loss, mean.loss * part.count)


@for_each("case", CASES)
def test_float32_agrees_with_float64(case):
    objective, single = build(case), build(case, dtype=torch.float32)
    loss, slopes = loss_and_gradients(objective, random_signals(objective))
    rough, rough_slopes = loss_and_gradients(single, random_signals(single, dtype=torch.float32))
    assert rough.dtype == torch.float32
    assert_close(rough.double(), loss, rtol=1e-5, atol=1e-5)
    for name, slope in slopes.items():
        assert_close(rough_slopes[name].double(), slope, rtol=1e-4, atol=1e-5)
