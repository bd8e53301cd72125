"""Intervals, paired tests, and the correction for many."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from alignlab.errors import ConfigError
from alignlab.report.statistics import compare, estimate, holm, stars

BASE = {0: 1.0, 1: 2.0, 2: 4.0, 3: 3.0}
"""Seeds differ by far more than the two groups do."""
BETTER = {seed: value + 0.1 + 0.01 * seed for seed, value in BASE.items()}


def test_an_interval_by_hand():
    """Mean 3, standard deviation 1, four values: 3.1824 * 1 / 2."""
    made = estimate([2.0, 3.0, 3.0, 4.0])
    assert made.mean == 3.0
    assert made.half == pytest.approx(3.182446 * math.sqrt(2 / 3) / 2, rel=1e-6)
    assert math.isnan(estimate([1.0]).half)


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
    assert compare(BETTER, BASE).half == pytest.approx(estimate(gaps).half)


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
