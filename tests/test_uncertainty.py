"""Confidence intervals, by hand and by how often they hold the truth; paired tests; the correction for many."""

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from alignlab.errors import ConfigError
from alignlab.uncertainty import (
    NORMAL_975,
    compare,
    holm,
    mean_over_rows,
    mean_over_seeds,
    p_above,
    p_below,
    plus_minus,
    share,
    stars,
)

BASE = {0: 1.0, 1: 2.0, 2: 4.0, 3: 3.0}
"""Seeds differ by far more than the two groups do."""
BETTER = {seed: value + 0.1 + 0.01 * seed for seed, value in BASE.items()}


def test_an_interval_by_hand():
    """Mean 3, standard deviation 1, four values: 3.1824 * 1 / 2."""
    made = mean_over_seeds([2.0, 3.0, 3.0, 4.0])
    assert made.value == 3.0
    assert made.half == pytest.approx(3.182446 * math.sqrt(2 / 3) / 2, rel=1e-6)
    assert math.isnan(mean_over_seeds([1.0]).half)


def test_pairs_see_what_groups_do_not():
    paired = compare(BETTER, BASE)
    assert (paired.test, paired.pairs) == ("paired t", 4)
    assert paired.mean == pytest.approx(0.115)
    assert paired.p == pytest.approx(stats.ttest_1samp([0.1, 0.11, 0.12, 0.13], 0).pvalue)
    assert paired.p < 0.001
    others = compare({seed + 10: value for seed, value in BETTER.items()}, BASE)
    assert (others.test, others.pairs) == ("Welch's t", 0)
    assert others.p > 0.8


def test_only_shared_seeds_are_paired():
    assert compare({**BETTER, 9: 1e9}, BASE) == compare(BETTER, BASE)


def test_the_interval_of_a_paired_difference():
    gaps = [0.1, 0.11, 0.12, 0.13]
    assert compare(BETTER, BASE).half == pytest.approx(mean_over_seeds(gaps).half)


def test_what_is_not_tested():
    assert compare({0: 1.0}, {0: 1.5}) is None
    two = compare({0: 1.0, 1: 2.0}, {0: 1.5, 1: 2.6})
    assert (two.mean, two.half) == pytest.approx((-0.55, 0.05 * 12.706), rel=1e-4)
    shifted = {seed: value + 1 for seed, value in BASE.items()}
    six = compare(BETTER, BASE, "wilcoxon")
    assert all(math.isnan(found.p) for found in (two, six, compare(BASE, BASE), compare(shifted, BASE)))
    assert (compare(shifted, BASE).mean, compare(shifted, BASE).half) == (1.0, 0.0)


def test_wilcoxon_by_hand():
    """Six gaps of one sign: 2 of the 2^6 ways to sign the ranks are as far out."""
    base = {seed: float(seed) for seed in range(6)}
    found = compare({seed: value + 0.1 + seed / 50 for seed, value in base.items()}, base, "wilcoxon")
    assert (found.test, found.pairs) == ("Wilcoxon", 6)
    assert found.p == pytest.approx(2 / 2**6)
    with pytest.raises(ConfigError, match="did you mean 'wilcoxon'"):
        compare(base, base, "wilcoxn")


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_keeps_order_and_never_lowers(p_values):
    corrected = holm(p_values)
    assert all(p <= c for p, c in zip(p_values, corrected, strict=True))
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    assert [corrected[i] for i in order] == sorted(corrected)
    assert min(corrected) == min(1.0, len(p_values) * min(p_values))


def test_stars():
    assert [stars(p) for p in (math.nan, 0.05, 0.049, 0.0099, 0.0009)] == ["", "", "*", "**", "***"]


@given(st.lists(st.floats(-5, 5), min_size=3, max_size=9), st.floats(-1, 1))
def test_p_values_are_those_of_a_t_test(values, bound):
    if max(values) - min(values) < 1e-3:
        return
    wanted = stats.ttest_1samp(values, bound, alternative="greater").pvalue
    assert p_above(values, bound) == pytest.approx(wanted, abs=1e-9)
    assert p_below(values, bound) == pytest.approx(1 - wanted, abs=1e-9)


def test_p_values_of_what_does_not_vary():
    assert (p_above([1.0, 1.0, 1.0], 0.5), p_above([1.0, 1.0, 1.0], 1.0)) == (0.0, 1.0)
    assert p_above([3.0], 0.0) == 1.0


def test_what_stands_behind_plus_minus():
    """Half the width of the interval; nothing of one seed, whose interval nobody knows."""
    two = mean_over_seeds([1.0, 2.0])
    assert plus_minus(two.value, two.half) == f"1.500 ± {12.7062 / 2:.3f}"
    assert plus_minus(two.value, mean_over_seeds([1.5]).half) == "1.500"
    assert plus_minus(-0.0004, 0.25, "+.2f") == "+0.00 ± 0.25"


def test_independent_pairs_get_wilsons_interval():
    found = share([1.0] * 8 + [0.0] * 2, [1.0] * 10)
    n = 9.0  # as many as vary like these: the spread of a sample is over n - 1
    p, z2 = 0.8, NORMAL_975**2
    middle = (p + z2 / (2 * n)) / (1 + z2 / n)
    far = NORMAL_975 / (1 + z2 / n) * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    assert (found.value, found.low, found.high) == pytest.approx((p, middle - far, middle + far))


def test_pairs_of_one_list_that_agree_count_as_one():
    alone = share([1.0, 0.0] * 10, [1.0] * 20)
    together = share([5.0, 0.0] * 10, [5.0] * 20)
    assert (alone.value, alone.low, alone.high) == pytest.approx(
        (together.value, together.low, together.high)
    )


def test_agreement_has_a_width_and_stays_below_1():
    found = share([1.0] * 20, [1.0] * 20)
    assert found.value == 1
    assert 0.8 < found.low < found.high <= 1


def test_lists_without_pairs_say_nothing():
    found = share([1.0, 0.0, 5.0], [1.0, 1.0, 0.0])
    assert found.value == 0.5
    assert math.isnan(share([0.0] * 3, [0.0] * 3).value)
    assert math.isnan(mean_over_rows([]).value)
    assert mean_over_rows([2.0]).text() == "2.000"


@pytest.mark.parametrize("truth", [0.5, 0.9])
def test_the_interval_holds_the_truth_as_often_as_it_says(truth):
    random = Random(0)
    held = 0
    for _ in range(400):
        lists = [3.0 * (random.random() < truth) for _ in range(60)]
        found = share(lists, [3.0] * 60)
        held += found.low <= truth <= found.high
    assert 0.92 <= held / 400 <= 0.98
