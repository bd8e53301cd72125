"""How far a figure may be off by chance: 95 % confidence intervals."""

import math
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

Z = 1.959963984540054


@dataclass(frozen=True)
class Estimate:
    """A value and its 95 % interval."""

    value: float
    low: float
    high: float

    def text(self, form: str = ".3f") -> str:
        """The value with its interval behind it.

        >>> Estimate(0.5, 0.4, 0.6).text(".1f")
        '0.5 [0.4, 0.6]'
        """
        if math.isnan(self.value):
            return "-"
        interval = "" if math.isnan(self.low) else f" [{self.low:{form}}, {self.high:{form}}]"
        return f"{self.value:{form}}{interval}"


def mean(values: Float[Tensor, "N"]) -> Estimate:
    """The mean of independent values, by its standard error; no interval for fewer than two."""
    if not len(values):
        return Estimate(math.nan, math.nan, math.nan)
    value = values.mean().item()
    far = Z * values.std().item() / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return Estimate(value, value - far, value + far)


def share(sums: Float[Tensor, "B"], counts: Float[Tensor, "B"]) -> Estimate:
    """The share sum(sums) / sum(counts) of pairs that come in lists: pairs of one list are not independent.

    Wilson's interval, for as many independent pairs as would vary like these lists do (the variance of a
    ratio, linearized). It lies in [0, 1], and has a width where all pairs agree.
    """
    sums, counts = sums[counts > 0].double(), counts[counts > 0].double()
    lists, total = len(counts), counts.sum().item()
    if not lists:
        return Estimate(math.nan, math.nan, math.nan)
    value = sums.sum().item() / total
    spread = (sums - value * counts).square().sum().item() / total**2 * lists / max(lists - 1, 1)
    size = value * (1 - value) / spread if spread > 0 and 0 < value < 1 else float(lists)
    size = min(size, total)
    middle = (value + Z**2 / (2 * size)) / (1 + Z**2 / size)
    far = Z / (1 + Z**2 / size) * math.sqrt(value * (1 - value) / size + Z**2 / (4 * size**2))
    low, high = max(middle - far, 0.0), min(middle + far, 1.0)
    return Estimate(value, min(low, value), max(high, value))  # to the last digit
