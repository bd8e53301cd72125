"""Paired differences over seeds, and what they say: holds, does not hold, or not separable here.

The rule is fixed before any run. With d the mean over seeds of the difference in the direction expected, and m the
margin of the comparison:

    expected   holds where       does not hold where
    more       d > 0             d < m: an effect of the size that would matter is ruled out
    no_less    d > -m            d < -m
    equal      -m < d < m        d > m or d < -m

Each side is a one-sided t test at 0.025 (so that it agrees with the 95 % interval), corrected by Holm's step-down over
the comparisons of the claim. `less` is `more` of the negated difference. A claim holds where all its comparisons do;
one that does not hold is enough against it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy import stats

from alignlab.claims.claim import Comparison
from alignlab.claims.runs_of import Metrics, Plan, Results
from alignlab.errors import one_of
from alignlab.uncertainty import holm, mean_over_seeds, p_above, p_below

LEVEL = 0.025
HOLDS, FAILS, OPEN, NOT_RUN = "holds", "does not hold", "not separable here", "not run yet"


@dataclass(frozen=True)
class Finding:
    """A comparison with what the seeds said: the mean effect, half its 95 % interval, and Holm-corrected p-values."""

    comparison: Comparison
    by_seed: Sequence[float]
    mean: float
    half: float
    p_holds: float
    p_fails: float

    @property
    def verdict(self) -> str:
        """Whether this comparison, by itself, holds, does not hold, or is not separable."""
        if self.p_holds < LEVEL:
            return HOLDS
        return FAILS if self.p_fails < LEVEL else OPEN


@dataclass(frozen=True)
class Outcome:
    """The findings of all comparisons of a claim; none where runs are missing."""

    findings: Sequence[Finding]

    @property
    def verdict(self) -> str:
        """Whether the claim holds, does not hold, is not separable, or was not run yet."""
        verdicts = {finding.verdict for finding in self.findings}
        if not verdicts:
            return NOT_RUN
        return HOLDS if verdicts == {HOLDS} else FAILS if FAILS in verdicts else OPEN


def judged(plan: Plan, results: Results) -> Outcome:
    """Judge a claim by its finished runs; there are no findings while any of them is missing."""
    chosen = plan.chosen(results)
    if chosen.keys() < plan.claim.arms.keys():
        return Outcome([])
    runs: dict[str, list[Metrics]] = {}
    for arm, value in chosen.items():
        runs[arm] = [metrics for job in plan.of_arm(arm, value) if (metrics := results(job)) is not None]
        if len(runs[arm]) < len(plan.seeds):
            return Outcome([])
    comparisons = plan.claim.comparisons
    by_seed = [effects(comparison, runs) for comparison in comparisons]
    tests = [p_values(values, c.expect, c.margin) for c, values in zip(comparisons, by_seed, strict=True)]
    corrected = zip(*(holm(list(side)) for side in zip(*tests, strict=True)), strict=True)
    findings = []
    for comparison, values, (holds, fails) in zip(comparisons, by_seed, corrected, strict=True):
        mean = mean_over_seeds(values)
        findings.append(Finding(comparison, values, mean.value, mean.half, holds, fails))
    return Outcome(findings)


def effects(comparison: Comparison, runs: Mapping[str, Sequence[Metrics]]) -> list[float]:
    """One number a seed: arms against others at the same seed, folded where there are several."""
    effects_by_seed = []
    for seed in range(len(runs[comparison.arms[0]])):
        ours = [value(runs[arm][seed], comparison.metric) for arm in comparison.arms]
        theirs = [value(runs[arm][seed], comparison.metric) for arm in comparison.against]
        gaps = (
            [a - b for a, b in zip(ours, theirs, strict=True)]
            if theirs
            else [a - comparison.than for a in ours]
        )
        effects_by_seed.append(folded(gaps, comparison.fold))
    return effects_by_seed


def value(metrics: Metrics, metric: str) -> float:
    """The value of a metric, or of the difference of two, `a - b`; ConfigError on one that the runs do not have.

    >>> value({"gold/reward": 2.0, "initial/gold/reward": 0.5}, "gold/reward - initial/gold/reward")
    1.5
    """
    first, _, second = metric.partition(" - ")
    for name in filter(None, (first, second)):
        one_of("comparisons.metric", name, metrics)
    return metrics[first] - (metrics[second] if second else 0.0)


def folded(values: Sequence[float], fold: str | None) -> float:
    """The slope for each place in the order of the arms, or the rank correlation with it (0 of equal values).

    >>> folded([1.0, 2.0, 3.0], "slope"), folded([1.0, 5.0, 3.0], "rank_correlation")
    (1.0, 0.5)
    """
    if fold is None:
        return values[0]
    if fold == "slope":
        return float(stats.linregress(range(len(values)), values).slope)
    if len(set(values)) == 1:
        return 0.0
    return round(float(stats.spearmanr(range(len(values)), values).statistic), 12)


def p_values(values: Sequence[float], expect: str, margin: float) -> tuple[float, float]:
    """The p-values that a comparison holds, and that it does not, not yet corrected for their number."""
    signed = [-value for value in values] if expect == "less" else list(values)
    if expect in ("more", "less"):
        return p_above(signed, 0.0), p_below(signed, margin)
    if expect == "no_less":
        return p_above(signed, -margin), p_below(signed, -margin)
    inside = max(p_above(signed, -margin), p_below(signed, margin))
    return inside, min(1.0, 2 * min(p_above(signed, margin), p_below(signed, -margin)))
