"""What best-of-n costs and buys, against the vector."""

from itertools import combinations
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignlab.metrics.frontier import best_of_n, best_reward
from alignlab.metrics.refusals import refuses
from tests.vectors import more


def test_the_vector_of_best_of_n():
    told = more()["C2_bon"]
    found = [best_of_n(n) for n in told["inputs"]["n"]]
    expected = told["outputs"]
    assert [kl for kl, _ in found] == pytest.approx(expected["kl_upper_bound"], abs=1e-9)
    assert [won for _, won in found] == pytest.approx(expected["win_rate_vs_base_no_ties"], abs=1e-9)


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
