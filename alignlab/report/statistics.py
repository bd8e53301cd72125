"""Means over seeds, how sure they are, and whether a difference is more than chance."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

import numpy as np
from scipy import stats

from alignlab.errors import one_of

TESTS = ("t", "wilcoxon")
FEWEST = {"paired t": 3, "Wilcoxon": 6, "Welch's t": 3}
"""Seeds below which no test is made: with fewer, Wilcoxon's p cannot be below 0.05."""
LEVELS = ((0.001, "***"), (0.01, "**"), (0.05, "*"))


@dataclass(frozen=True)
class Estimate:
    """A mean with the half-width of its 95 % confidence interval (Student's t; NaN of one value)."""

    mean: float
    half: float
    count: int


@dataclass(frozen=True)
class Difference:
    """From a baseline, with the half-width of its 95 % confidence interval.

    `pairs` seeds were paired (0: none). `p` is two-sided, not yet corrected; NaN where nothing was tested, since seeds
    are too few, or the difference does not vary.
    """

    test: str
    mean: float
    half: float
    p: float
    pairs: int


def estimate(values: Sequence[float]) -> Estimate:
    """Mean and interval.

    >>> made = estimate([1.0, 2.0, 3.0])
    >>> made.mean, round(made.half, 3), made.count
    (2.0, 2.484, 3)
    """
    count = len(values)
    half = float(stats.t.ppf(0.975, count - 1)) * stdev(values) / math.sqrt(count) if count > 1 else math.nan
    return Estimate(fmean(values), half, count)


def compare(ours: Mapping[int, float], theirs: Mapping[int, float], kind: str = "t") -> Difference | None:
    """Values by seed against those of a baseline; None where either has fewer than two.

    Paired over the seeds that both have (paired t, or Wilcoxon's signed ranks); Welch's t where they share none.
    """
    one_of("--test", kind, TESTS)
    shared = sorted(ours.keys() & theirs.keys())
    a, b = ([values[seed] for seed in shared or values] for values in (ours, theirs))
    if min(len(a), len(b)) < 2:
        return None
    test = "Welch's t" if not shared else "paired t" if kind == "t" else "Wilcoxon"
    gaps = np.subtract(a, b) if shared else np.array([*a, *b])
    constant = bool(np.allclose(gaps, gaps[0], rtol=1e-9, atol=1e-12))
    if constant:
        return Difference(test, fmean(a) - fmean(b), 0.0, math.nan, len(shared))
    found = stats.ttest_rel(a, b) if shared else stats.ttest_ind(a, b, equal_var=False)
    half = (found.confidence_interval().high - found.confidence_interval().low) / 2
    p = stats.wilcoxon(a, b).pvalue if test == "Wilcoxon" else found.pvalue
    enough = min(len(a), len(b)) >= FEWEST[test]
    return Difference(test, fmean(a) - fmean(b), float(half), float(p) if enough else math.nan, len(shared))


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for their number by Holm's step-down (1979).

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    corrected, worst = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        worst = max(worst, min(1.0, (len(p_values) - rank) * p_values[i]))
        corrected[i] = worst
    return corrected


def stars(p: float) -> str:
    """How significant.

    >>> stars(0.2), stars(0.04), stars(0.002)
    ('', '*', '**')
    """
    return next((mark for level, mark in LEVELS if p < level), "")
