"""How sure a number is: means with their 95 % confidence intervals, paired differences, p-values.

Wherever a number is shown as `value ± half`, `half` is half the width of its 95 % confidence interval.
Values are plain sequences of numbers, and scipy is imported where it is needed: the command line imports this module.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from alignlab.errors import one_of

PLUS_MINUS = "± half a 95 % interval"
"""The words in which a table explains the `±` in it."""
NORMAL_975 = 1.959963984540054
"""The 97.5 % quantile of the standard normal distribution."""
TESTS = ("t", "wilcoxon")
FEWEST = {"paired t": 3, "Wilcoxon": 6, "Welch's t": 3}
"""Seeds below which no test is made: with fewer, Wilcoxon's p cannot be below 0.05."""
STARS = ((0.001, "***"), (0.01, "**"), (0.05, "*"))


@dataclass(frozen=True)
class Estimate:
    """A value, the ends of its 95 % interval (NaN where one value cannot tell), and how many values it is made of."""

    value: float
    low: float
    high: float
    count: int

    @property
    def half(self) -> float:
        """Half the width of the interval; NaN where there is none."""
        return (self.high - self.low) / 2

    def text(self, form: str = ".3f") -> str:
        """The value with the ends of its interval behind it.

        >>> Estimate(0.5, 0.4, 0.6, 10).text(".1f")
        '0.5 [0.4, 0.6]'
        """
        if math.isnan(self.value):
            return "-"
        interval = "" if math.isnan(self.low) else f" [{self.low:{form}}, {self.high:{form}}]"
        return f"{self.value:{form}}{interval}"


@dataclass(frozen=True)
class Difference:
    """The mean difference of a setting from a baseline, with half the width of its 95 % interval.

    `pairs` is the number of seeds that were paired, 0 where none were. `p` is two-sided and not yet corrected; it is
    NaN where nothing was tested, because the seeds are too few or the difference does not vary.
    """

    test: str
    mean: float
    half: float
    p: float
    pairs: int


def plus_minus(value: float, half: float, form: str = ".3f") -> str:
    """A value with half the width of its 95 % interval; the value alone where that is NaN. No zero is negative.

    >>> plus_minus(2.0, 0.25, "+.2f"), plus_minus(-0.0001, float("nan"))
    ('+2.00 ± 0.25', '0.000')
    """
    shown = f"{value:{form}}"
    if float(shown) == 0:
        shown = f"{0.0:{form}}"
    return shown if math.isnan(half) else f"{shown} ± {half:{form.lstrip('+')}}"


def mean_over_seeds(values: Sequence[float]) -> Estimate:
    """The mean of one value a run, with Student's t interval; NaN of no values or where one is NaN.

    One value has no interval.

    >>> estimate = mean_over_seeds([1.0, 2.0, 3.0])
    >>> estimate.value, round(estimate.half, 3), estimate.count
    (2.0, 2.484, 3)
    """
    if len(values) < 2:
        return _mean(values, math.nan)
    from scipy import stats

    return _mean(values, float(stats.t.ppf(0.975, len(values) - 1)))


def mean_over_rows(values: Sequence[float]) -> Estimate:
    """The mean of many independent values, with the normal interval; NaN of no values, no interval of one.

    >>> mean_over_rows([0.0, 1.0] * 50).text()
    '0.500 [0.402, 0.598]'
    """
    return _mean(values, NORMAL_975)


def _mean(values: Sequence[float], quantile: float) -> Estimate:
    if not len(values) or any(map(math.isnan, values)):
        return Estimate(math.nan, math.nan, math.nan, len(values))
    mean = fmean(values)
    half = quantile * standard_error(values)
    return Estimate(mean, mean - half, mean + half, len(values))


def standard_error(values: Sequence[float]) -> float:
    """The standard error of the mean of these values; NaN of fewer than two."""
    return stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan


def share(sums: Sequence[float], counts: Sequence[float]) -> Estimate:
    """The share sum(sums) / sum(counts) of pairs that come in lists: pairs of one list are not independent.

    The interval is Wilson's, for as many independent pairs as would vary like these lists do (the variance of a
    ratio, linearized). It lies in [0, 1], and has a width where all pairs agree. Lists without pairs do not count.
    """
    lists = [(part, count) for part, count in zip(sums, counts, strict=True) if count > 0]
    if not lists:
        return Estimate(math.nan, math.nan, math.nan, 0)
    total = math.fsum(count for _, count in lists)
    value = math.fsum(part for part, _ in lists) / total
    variance = math.fsum((part - value * count) ** 2 for part, count in lists) / total**2
    variance *= len(lists) / max(len(lists) - 1, 1)
    size = value * (1 - value) / variance if variance > 0 and 0 < value < 1 else float(len(lists))
    size = min(size, total)
    scale = 1 + NORMAL_975**2 / size
    middle = (value + NORMAL_975**2 / (2 * size)) / scale
    half = NORMAL_975 / scale * math.sqrt(value * (1 - value) / size + NORMAL_975**2 / (4 * size**2))
    low, high = max(middle - half, 0.0), min(middle + half, 1.0)
    return Estimate(
        value, min(low, value), max(high, value), len(lists)
    )  # min and max: rounding of the last digit


def weighted_sum(estimates: Sequence[Estimate], weights: Sequence[float]) -> Estimate:
    """The sum of independent estimates with fixed weights, none of which is negative; NaN of none.

    Its interval ends as far below and above it as the squares of the weighted distances add up to (the method of
    variance estimates recovery), so that ends which are not alike on both sides stay so.

    >>> weighted_sum([Estimate(0.5, 0.4, 0.7, 10), Estimate(1.0, 0.9, 1.0, 20)], [0.5, 0.5]).text()
    '0.750 [0.679, 0.850]'
    """
    if not estimates:
        return Estimate(math.nan, math.nan, math.nan, 0)
    both = list(zip(estimates, weights, strict=True))
    value = math.fsum(weight * one.value for one, weight in both)
    below = math.sqrt(math.fsum((weight * (one.value - one.low)) ** 2 for one, weight in both))
    above = math.sqrt(math.fsum((weight * (one.high - one.value)) ** 2 for one, weight in both))
    return Estimate(value, value - below, value + above, sum(one.count for one in estimates))


def compare(ours: Mapping[Any, float], theirs: Mapping[Any, float], kind: str = "t") -> Difference | None:
    """Values by seed against those of a baseline; None where either has fewer than two.

    Paired over the seeds that both have (paired t, or Wilcoxon's signed ranks); Welch's t where they share none.
    Raises ConfigError on a `kind` that is neither t nor wilcoxon.
    """
    one_of("test", kind, TESTS)
    shared = [seed for seed in ours if seed in theirs]
    a, b = ([values[seed] for seed in shared or values] for values in (ours, theirs))
    if min(len(a), len(b)) < 2:
        return None
    import numpy as np
    from scipy import stats

    test = "Welch's t" if not shared else "paired t" if kind == "t" else "Wilcoxon"
    gaps = np.subtract(a, b) if shared else np.array([*a, *b])
    if np.allclose(gaps, gaps[0], rtol=1e-9, atol=1e-12):
        return Difference(test, fmean(a) - fmean(b), 0.0, math.nan, len(shared))
    tested = stats.ttest_rel(a, b) if shared else stats.ttest_ind(a, b, equal_var=False)
    low, high = tested.confidence_interval()
    p = stats.wilcoxon(a, b).pvalue if test == "Wilcoxon" else tested.pvalue
    enough = min(len(a), len(b)) >= FEWEST[test]
    return Difference(
        test, fmean(a) - fmean(b), float(high - low) / 2, float(p) if enough else math.nan, len(shared)
    )


def p_above(values: Sequence[float], bound: float) -> float:
    """The p-value of the one-sided t test that the mean lies above a bound.

    It is 1 of fewer than two values, or where one is NaN.
    """
    if len(values) < 2 or any(map(math.isnan, values)):
        return 1.0
    gap, error = fmean(values) - bound, standard_error(values)
    if error <= 1e-12 * max(1.0, abs(gap)):
        return 0.0 if gap > 0 else 1.0
    from scipy import stats

    return float(stats.t.sf(gap / error, len(values) - 1))


def p_below(values: Sequence[float], bound: float) -> float:
    """The p-value of the one-sided t test that the mean lies below a bound, under the rules of `p_above`."""
    return p_above([-value for value in values], -bound)


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
    """How significant a difference is, as tables mark it; nothing of NaN.

    >>> stars(0.2), stars(0.04), stars(0.002)
    ('', '*', '**')
    """
    return next((mark for level, mark in STARS if p < level), "")
