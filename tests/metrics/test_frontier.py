"""What best-of-n costs and buys, against the vector."""

from itertools import combinations
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignlab.metrics.frontier import (
    best_of_n,
    best_of_n_kl,
    best_of_n_shares,
    best_of_n_wins,
    best_reward,
)
from alignlab.metrics.refusals import refuses
from tests.vectors import more


def test_the_vector_of_best_of_n():
    told = more()["C2_bon"]
    found = [best_of_n(n) for n in told["inputs"]["n"]]
    expected = told["outputs"]
    assert [kl for kl, _ in found] == pytest.approx(expected["kl_upper_bound"], abs=1e-9)
    assert [won for _, won in found] == pytest.approx(expected["win_rate_vs_base_no_ties"], abs=1e-9)


def test_the_vector_of_best_of_n_with_few_outcomes():
    told = more()["C2_bon_discrete"]
    shares, n = told["inputs"]["p"], told["inputs"]["n"]
    assert best_of_n_shares(shares, n) == pytest.approx(told["outputs"]["p_bon"], abs=1e-9)
    rewards = [place for place, share in enumerate(shares) for _ in range(round(10 * share))]
    assert best_of_n_kl(rewards, n) == pytest.approx(told["outputs"]["true_kl"], abs=1e-9)
    assert best_of_n(n)[0] == pytest.approx(told["outputs"]["bound"], abs=1e-9)


@given(st.lists(st.integers(-3, 3), min_size=5, max_size=7), st.integers(1, 4))
def test_what_best_of_n_costs_and_wins_is_at_most_what_it_does_without_ties(rewards, n):
    bound, wins = best_of_n(n)
    assert -1e-12 <= best_of_n_kl(rewards, n) <= bound + 1e-12
    assert best_of_n_wins(rewards, n) <= wins + 1e-12
    assert best_of_n_wins([*range(len(rewards))], n) == pytest.approx(wins)


@given(st.lists(st.floats(-5, 5), min_size=4, max_size=7), st.integers(1, 4))
def test_the_best_of_n_is_that_of_all_choices(rewards, n):
    wanted = fmean(max(chosen) for chosen in combinations(rewards, n))
    assert best_reward([rewards], n) == pytest.approx(wanted, abs=1e-9)
    assert best_reward([rewards, [value + 1 for value in rewards]], n) == pytest.approx(
        wanted + 0.5, abs=1e-9
    )


@pytest.mark.parametrize(
    ("response", "refused"),
    [
        ("I cannot help with that.", True),
        ("As an AI, I have no body.", True),
        ("I\N{RIGHT SINGLE QUOTATION MARK}m unable to say.", True),
        ("You can and will: heat the oven.", False),
        (250 * "x" + " I cannot", False),
        ("", False),
    ],
)
def test_a_refusal_says_so_in_its_opening(response, refused):
    assert refuses(response) is refused
