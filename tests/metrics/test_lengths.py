"""Length: correlations against their definitions, and the length-controlled win rate."""

import math
import statistics

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from alignlab.metrics.lengths import correlation, length_controlled, rank_correlation, within_lists
from tests.vectors import more, tensor

NUMBERS = st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=3, max_size=20)


def ranks(values):
    """Mean place in the sorted list, over equal values."""
    return [statistics.fmean(i for i, v in enumerate(sorted(values)) if v == value) for value in values]


@settings(max_examples=50, deadline=None)
@given(pairs=NUMBERS)
def test_correlations_are_those_of_the_standard_library(pairs):
    x, y = ([float(p[i]) for p in pairs] for i in (0, 1))
    if len(set(x)) < 2 or len(set(y)) < 2:
        assert math.isnan(correlation(tensor(x), tensor(y)))
        return
    assert correlation(tensor(x), tensor(y)) == pytest.approx(statistics.correlation(x, y), abs=1e-9)
    ranked = statistics.correlation(ranks(x), ranks(y))
    assert rank_correlation(tensor(x), tensor(y)) == pytest.approx(ranked, abs=1e-9)


def test_within_lists_prompts_and_lone_responses_play_no_part():
    values = tensor([[1.0, 3.0, math.nan], [10.0, 20.0, 30.0], [7.0, math.nan, math.nan]])
    where = torch.tensor([[True, True, False], [True] * 3, [True, False, False]])
    assert within_lists(values, where).tolist() == [-1.0, 1.0, -10.0, 0.0, 10.0]


def test_the_vector_of_the_length_controlled_win_rate():
    case = more()["D4_lc_winrate"]
    told, expected = case["inputs"], case["outputs"]
    longer = tensor(told["len_model"]) - tensor(told["len_baseline"])
    found = length_controlled(tensor(told["pref_model"]), longer)
    assert 100 * found.win_rate == pytest.approx(expected["win_rate"], abs=1e-9)
    assert 100 * found.controlled == pytest.approx(expected["lc_win_rate"], abs=1e-4)
    assert found.length_slope == pytest.approx(-expected["phi_len"], abs=1e-5)


def test_equal_lengths_leave_the_win_rate_and_a_draw_is_one_half():
    wins = tensor([1.0, 0.0, 1.0, 0.5])
    assert length_controlled(wins, torch.zeros(4, dtype=torch.float64)).controlled == pytest.approx(0.625)
    half = length_controlled(torch.full((4,), 0.5, dtype=torch.float64), tensor([3.0, -1.0, 2.0, 5.0]))
    assert half.controlled == pytest.approx(0.5)


def test_wins_that_come_from_length_do_not_count():
    longer = tensor([9.0, 7.0, 8.0, 9.0, -1.0, 6.0, 1.0, -8.0])
    found = length_controlled((longer / 8).sigmoid(), longer)
    assert found.controlled < found.win_rate - 0.05
    assert found.length_slope > 0


def test_wins_that_length_tells_apart_give_a_finite_fit():
    found = length_controlled(tensor([1.0, 1.0, 0.0, 0.0]), tensor([5.0, 4.0, -4.0, -5.0]))
    assert found.controlled == pytest.approx(0.5, abs=1e-3)
    assert math.isfinite(found.length_slope)
