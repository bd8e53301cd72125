"""What made-up seeds say: the rule of every expectation, Holm, folds, and p-values against scipy's."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignlab.claims.claim import Arm, Comparison
from alignlab.claims.verdict import (
    FAILS,
    HOLDS,
    NOT_RUN,
    OPEN,
    effects,
    judged,
    p_values,
    value,
)
from alignlab.errors import ConfigError
from alignlab.uncertainty import p_above
from tests.claims.made import plan_of, results_of

STEADY = [0.50, 0.52, 0.48, 0.51, 0.49]
ZERO = [0.01, -0.02, 0.02, -0.01, 0.0]
WILD = [-1.0, 1.2, 0.3, -0.6, 0.9]
FAR = [-value for value in STEADY]


def said(values, expect, margin=0.2):
    comparison = Comparison("gold/reward", ["ours"], expect, margin)
    plan = plan_of(comparison, search=None, arms={"ours": Arm()})
    return judged(plan, results_of(plan, {"ours": values})).verdict


@pytest.mark.parametrize(
    ("expect", "verdicts"),
    {
        "more": [HOLDS, FAILS, FAILS, OPEN],
        "less": [FAILS, FAILS, HOLDS, OPEN],
        "no_less": [HOLDS, HOLDS, FAILS, OPEN],
        "equal": [FAILS, HOLDS, FAILS, OPEN],
    }.items(),
)
def test_the_rule(expect, verdicts):
    assert [said(values, expect) for values in (STEADY, ZERO, FAR, WILD)] == verdicts


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=9), st.floats(0.01, 1))
def test_nothing_both_holds_and_fails_but_an_effect_below_the_margin(values, margin):
    for expect in ("no_less", "equal"):
        holds, fails = p_values(values, expect, margin)
        assert not (holds < 0.025 and fails < 0.025)


def test_one_comparison_against_it_is_enough():
    more, less = (Comparison("gold/reward", ["ours"], expect, 0.2, ["theirs"]) for expect in ("more", "less"))
    plan = plan_of(more, less)
    results = results_of(plan, {"ours": [v + 1 for v in STEADY], "theirs": [1.0, 1.1, 0.9, 1.0, 1.0]})
    outcome = judged(plan, results)
    assert [finding.verdict for finding in outcome.findings] == [HOLDS, FAILS]
    assert outcome.verdict == FAILS


def test_holm_over_the_comparisons():
    """What holds by itself is not separable among many that say nothing."""
    values = [0.9, 0.1, 0.7, 0.2, 0.6]
    one = Comparison("gold/reward", ["ours"], "more", 5.0)
    alone, many = (plan_of(*[one] * n, search=None, arms={"ours": Arm()}) for n in (1, 8))
    found = [judged(plan, results_of(plan, {"ours": values})) for plan in (alone, many)]
    assert found[1].findings[0].p_holds == pytest.approx(8 * found[0].findings[0].p_holds)
    assert found[0].verdict == HOLDS
    assert found[1].findings[0].verdict != HOLDS


def test_interval_and_test_agree():
    plan = plan_of(search=None)
    (finding,) = judged(plan, results_of(plan, {"ours": WILD, "theirs": ZERO})).findings
    edge = finding.mean - finding.half
    assert p_above(finding.by_seed, edge) == pytest.approx(0.025)


def test_pairs_are_of_one_seed():
    one = Comparison("a - b", ["ours"], "more", 0.2, ["theirs"])
    runs = {"ours": [{"a": 3.0, "b": 1.0}, {"a": 5.0, "b": 0.0}], "theirs": [{"a": 1.0, "b": 1.0}] * 2}
    assert effects(one, runs) == [2.0, 5.0]
    against_number = Comparison("a", ["ours"], "more", 0.2, than=2.5)
    assert effects(against_number, runs) == [0.5, 2.5]


def test_folds():
    runs = {name: [{"a": value}] for name, value in {"x": 1.0, "y": 4.0, "z": 3.0, "flat": 1.0}.items()}
    slope = Comparison("a", ["x", "y", "z"], "more", 0.1, fold="slope")
    gaps = Comparison("a", ["x", "y", "z"], "more", 0.1, against=["flat"] * 3, fold="slope")
    ranks = Comparison("a", ["x", "y", "z"], "more", 0.1, fold="rank_correlation")
    level = Comparison("a", ["x", "flat"], "more", 0.1, fold="rank_correlation")
    assert effects(slope, runs) == effects(gaps, runs) == [pytest.approx(1.0)]
    assert effects(ranks, runs) == [pytest.approx(0.5)]
    assert effects(level, runs) == [0.0]


def test_missing_runs_give_no_verdict():
    plan = plan_of()
    assert judged(plan, lambda job: None).verdict == NOT_RUN
    whole = results_of(plan, {"ours": STEADY, "theirs": ZERO})
    assert judged(plan, whole).verdict == HOLDS
    last = plan.job("theirs", 5, 0.2)
    outcome = judged(plan, lambda job: None if job == last else whole(job))
    assert outcome.verdict == NOT_RUN
    assert not outcome.findings


def test_a_metric_that_is_not_there():
    with pytest.raises(ConfigError, match="gold/rewards: did you mean 'gold/reward'"):
        value({"gold/reward": 1.0}, "gold/reward - gold/rewards")


def test_a_metric_that_is_nan_is_no_verdict():
    assert said([math.nan] * 5, "more") == OPEN
