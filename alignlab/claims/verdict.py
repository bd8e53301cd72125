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

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from scipy import stats

from alignlab.claims.claim import Comparison
from alignlab.claims.runs_of import Metrics, Plan, Results
from alignlab.errors import one_of
from alignlab.report.statistics import Estimate, estimate, holm

LEVEL = 0.025
HOLDS, FAILS, OPEN, NOT_RUN = "holds", "does not hold", "not separable here", "not run yet"


@dataclass(frozen=True)
class Finding:
    """A comparison with what the seeds said; `half` is that of the 95 % interval, p-values are Holm-corrected."""

    comparison: Comparison
    by_seed: Sequence[float]
    mean: float
    half: float
    p_holds: float
    p_fails: float

    @property
    def verdict(self) -> str:
        """Of this comparison alone."""
        if self.p_holds < LEVEL:
            return HOLDS
        return FAILS if self.p_fails < LEVEL else OPEN


@dataclass(frozen=True)
class Outcome:
    """All comparisons of a claim; none where runs are missing."""

    findings: Sequence[Finding]

    @property
    def verdict(self) -> str:
        """Of the claim."""
        told = {finding.verdict for finding in self.findings}
        if not told:
            return NOT_RUN
        return HOLDS if told == {HOLDS} else FAILS if FAILS in told else OPEN


def judged(plan: Plan, results: Results) -> Outcome:
    """What the finished runs of a claim say; no findings while any of them is missing."""
    chosen = plan.chosen(results)
    if chosen.keys() < plan.claim.arms.keys():
        return Outcome([])
    runs = {arm: [*map(results, plan.of_arm(arm, value))] for arm, value in chosen.items()}
    whole = {arm: [one for one in found if one is not None] for arm, found in runs.items()}
    if any(len(found) < len(plan.seeds) for found in whole.values()):
        return Outcome([])
    by_seed = [effects(comparison, whole) for comparison in plan.claim.comparisons]
    tests = [
        p_values(told, c.expect, c.margin) for c, told in zip(plan.claim.comparisons, by_seed, strict=True)
    ]
    corrected = [holm(list(side)) for side in zip(*tests, strict=True)]
    found = []
    for place, (comparison, values) in enumerate(zip(plan.claim.comparisons, by_seed, strict=True)):
        known = not any(map(math.isnan, values))
        about = estimate(values) if known else Estimate(math.nan, math.nan, len(values))
        both = (side[place] for side in corrected)
        found.append(Finding(comparison, values, about.mean, about.half, *both))
    return Outcome(found)


def effects(comparison: Comparison, runs: Mapping[str, Sequence[Metrics]]) -> list[float]:
    """One number a seed: arms against others at the same seed, folded where there are several."""
    seeds = range(len(runs[comparison.arms[0]]))
    found = []
    for seed in seeds:
        ours = [value(runs[arm][seed], comparison.metric) for arm in comparison.arms]
        theirs = [value(runs[arm][seed], comparison.metric) for arm in comparison.against]
        gaps = (
            [a - b for a, b in zip(ours, theirs, strict=True)]
            if theirs
            else [a - comparison.than for a in ours]
        )
        found.append(folded(gaps, comparison.fold))
    return found


def value(metrics: Metrics, metric: str) -> float:
    """A metric, or the difference of two; ConfigError on one that the runs do not have.

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
    """P-values that the comparison holds, and that it does not, not yet corrected."""
    signed = [-one for one in values] if expect == "less" else list(values)
    if expect in ("more", "less"):
        return p_above(signed, 0.0), p_below(signed, margin)
    if expect == "no_less":
        return p_above(signed, -margin), p_below(signed, -margin)
    inside = max(p_above(signed, -margin), p_below(signed, margin))
    return inside, min(1.0, 2 * min(p_above(signed, margin), p_below(signed, -margin)))


def p_above(values: Sequence[float], bound: float) -> float:
    """One-sided t test that the mean lies above a bound; 1 of fewer than two values, or where one is NaN."""
    if len(values) < 2 or any(map(math.isnan, values)):
        return 1.0
    gap, error = fmean(values) - bound, stdev(values) / math.sqrt(len(values))
    if error <= 1e-12 * max(1.0, abs(gap)):
        return 0.0 if gap > 0 else 1.0
    return float(stats.t.sf(gap / error, len(values) - 1))


def p_below(values: Sequence[float], bound: float) -> float:
    """The same for below."""
    return p_above([-one for one in values], -bound)
