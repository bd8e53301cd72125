"""Confidence intervals: known values, and how often they hold the truth."""

import math

import pytest
import torch

from alignlab.metrics import intervals


def test_independent_pairs_get_wilsons_interval():
    found = intervals.share(torch.tensor([1.0] * 8 + [0.0] * 2), torch.ones(10))
    n = 9.0  # as many as vary like these: the spread of a sample is over n - 1
    p, z2 = 0.8, intervals.Z**2
    middle = (p + z2 / (2 * n)) / (1 + z2 / n)
    far = intervals.Z / (1 + z2 / n) * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    assert (found.value, found.low, found.high) == pytest.approx((p, middle - far, middle + far))


def test_pairs_of_one_list_that_agree_count_as_one():
    alone = intervals.share(torch.tensor([1.0, 0.0] * 10), torch.ones(20))
    together = intervals.share(torch.tensor([5.0, 0.0] * 10), torch.full((20,), 5.0))
    assert (alone.value, alone.low, alone.high) == pytest.approx(
        (together.value, together.low, together.high)
    )


def test_agreement_has_a_width_and_stays_below_1():
    found = intervals.share(torch.ones(20), torch.ones(20))
    assert found.value == 1
    assert 0.8 < found.low < found.high <= 1


def test_lists_without_pairs_say_nothing():
    found = intervals.share(torch.tensor([1.0, 0.0, 5.0]), torch.tensor([1.0, 1.0, 0.0]))
    assert found.value == 0.5
    assert math.isnan(intervals.share(torch.zeros(3), torch.zeros(3)).value)
    assert math.isnan(intervals.mean(torch.zeros(0)).value)
    assert intervals.mean(torch.tensor([2.0])).text() == "2.000"


@pytest.mark.parametrize("truth", [0.5, 0.9])
def test_the_interval_holds_the_truth_as_often_as_it_says(truth):
    random = torch.Generator().manual_seed(0)
    held = 0
    for _ in range(400):
        lists = torch.bernoulli(torch.full((60,), truth), generator=random)
        found = intervals.share(3 * lists, torch.full((60,), 3.0))
        held += found.low <= truth <= found.high
    assert 0.92 <= held / 400 <= 0.98
