"""The loss of a global batch, however it is cut, weighted, or counted."""

import pytest
import torch
from torch.testing import assert_close

from tests.invariants.cases import (
    CASES,
    build,
    data_only,
    loss_and_gradients,
    policy_leaves,
    random_signals,
)

CUTS = [[2, 1, 3], [1] * 6, [5, 1]]
WEIGHTS = torch.tensor([1.0, 0.5, 2.0, 1.0, 0.0, 3.0], dtype=torch.float64)


def cut(signals, sizes):
    pieces = [value.split(sizes) for value in signals.values()]
    return [dict(zip(signals, piece, strict=True)) for piece in zip(*pieces, strict=True)]


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("sizes", CUTS, ids=str)
@pytest.mark.parametrize("case", CASES)
def test_micro_batches_add_up(case, sizes, reduction):
    """Shares over the global counts, known from data alone, sum to the loss and gradient of the whole."""
    objective = build(case, reduction=reduction)
    signals = random_signals(objective) | {"weights": WEIGHTS}
    loss, gradients = loss_and_gradients(objective, signals)
    micro = cut(signals, sizes)
    counts = [objective.counts(**data_only(batch)) for batch in micro]
    total = {name: torch.stack([c[name] for c in counts]).sum() for name in counts[0]}
    shares, found = [], {name: [] for name in gradients}
    for batch in micro:
        leaves = policy_leaves(batch)
        share = objective(**leaves).loss_over(total)
        shares.append(share.detach())
        wanted = [leaves[name] for name in gradients]
        for name, gradient in zip(gradients, torch.autograd.grad(share, wanted), strict=True):
            found[name].append(gradient)
    assert_close(torch.stack(shares).sum(), loss)
    for name, gradient in gradients.items():
        assert_close(torch.cat(found[name]), gradient)


@pytest.mark.parametrize("case", CASES)
def test_parts_add_up(case):
    objective = build(case)
    signals = random_signals(objective)
    whole = objective(**signals).parts
    pieces = [objective(**batch).parts for batch in cut(signals, [2, 4])]
    for name, part in whole.items():
        assert_close(sum(p[name].sum for p in pieces), part.sum)
        assert_close(sum(p[name].count for p in pieces), part.count)


@pytest.mark.parametrize("case", CASES)
def test_counts_come_from_the_data_alone(case):
    objective = build(case)
    one, other = random_signals(objective), random_signals(objective)
    noise = random_signals(objective, seed=1)
    other |= {name: noise[name] for name in set(other) - set(data_only(other))}
    before = objective.counts(**data_only(one), weights=WEIGHTS)
    for signals in (one, other):
        parts = objective(**signals, weights=WEIGHTS).parts
        assert {name: part.count.item() for name, part in parts.items()} == {
            name: count.item() for name, count in before.items()
        }
    assert all(count > 0 for count in before.values())


@pytest.mark.parametrize("case", CASES)
def test_weight_two_is_the_list_twice(case):
    objective = build(case)
    signals = random_signals(objective)
    weights = torch.tensor([2.0, 1, 1, 1, 2, 1], dtype=torch.float64)
    loss, gradients = loss_and_gradients(objective, signals, weights=weights)
    twice = [0, 1, 2, 3, 4, 5, 0, 4]
    doubled = {name: value[twice] for name, value in signals.items()}
    doubled_loss, doubled_gradients = loss_and_gradients(objective, doubled)
    assert_close(doubled_loss, loss)
    for name, gradient in gradients.items():
        gathered = torch.zeros_like(gradient).index_add(0, torch.tensor(twice), doubled_gradients[name])
        assert_close(gathered, gradient)


@pytest.mark.parametrize("case", CASES)
def test_weight_zero_is_the_list_left_out(case):
    objective = build(case)
    signals = random_signals(objective)
    weights = torch.tensor([1.0, 0, 1, 1, 1, 0], dtype=torch.float64)
    kept = {name: value[weights > 0] for name, value in signals.items()}
    assert_close(objective(**signals, weights=weights).loss, objective(**kept).loss)


@pytest.mark.parametrize("case", CASES)
def test_sum_is_mean_times_count(case):
    signals = random_signals(build(case))
    mean, total = build(case)(**signals), build(case, reduction="sum")(**signals)
    (part,) = mean.parts.values()
    assert_close(total.loss, mean.loss * part.count)


@pytest.mark.parametrize("case", CASES)
def test_float32_agrees_with_float64(case):
    objective = build(case)
    loss, gradients = loss_and_gradients(objective, random_signals(objective))
    rough, rough_gradients = loss_and_gradients(objective, random_signals(objective, dtype=torch.float32))
    assert rough.dtype == torch.float32
    assert_close(rough.double(), loss, rtol=1e-5, atol=1e-5)
    for name, gradient in gradients.items():
        assert_close(rough_gradients[name].double(), gradient, rtol=1e-4, atol=1e-5)
