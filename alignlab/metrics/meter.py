"""Adds up the metrics of micro-batches."""

from collections.abc import Iterable, Mapping

from alignlab.types import Part


class Meter:
    """Sums and counts by name, so that every mean is over all elements added, however they were batched."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._counts: dict[str, float] = {}

    def add(self, parts: Mapping[str, Part]) -> None:
        """Add the parts of one micro-batch."""
        for name, part in parts.items():
            self._sums[name] = self._sums.get(name, 0.0) + part.sum.item()
            self._counts[name] = self._counts.get(name, 0.0) + part.count.item()

    @staticmethod
    def joined(others: Iterable["Meter"]) -> "Meter":
        """The meter over all that several meters have added up."""
        whole = Meter()
        for other in others:
            for name, value in other._sums.items():
                whole._sums[name] = whole._sums.get(name, 0.0) + value
                whole._counts[name] = whole._counts.get(name, 0.0) + other._counts[name]
        return whole

    def values(self) -> dict[str, float]:
        """The mean of every name that counted something; the sum of parts that are sums (count 0)."""
        return {
            name: self._sums[name] / (count or 1.0)
            for name, count in self._counts.items()
            if count or self._sums[name]
        }
