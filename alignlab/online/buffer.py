"""Lists of earlier steps that are trained on again."""

from collections.abc import Sequence

import numpy as np

from alignlab.online.listed import Listed
from alignlab.online.settings import BufferSpec


class Buffer:
    """The newest lists that were drawn before, at most `size`; what it gives depends on those and on the seed alone."""

    def __init__(self, spec: BufferSpec, seed: int) -> None:
        self.spec, self.seed = spec, seed
        self.lists: list[tuple[int, Listed]] = []
        """With the step before which each was drawn, the oldest first."""

    def add(self, step: int, lists: Sequence[Listed]) -> None:
        """Keep lists that were drawn before this step; the oldest ones beyond the size leave."""
        self.lists = (
            [*self.lists, *((step, one) for one in lists)][-self.spec.size :] if self.spec.size else []
        )

    def share_of(self, lists: int) -> int:
        """Return how many of so many lists come from here."""
        return min(len(self.lists), round(self.spec.share * lists))

    def take(self, count: int, step: int) -> list[Listed]:
        """Return lists to train on again before this step, none of them twice; they stay here."""
        if self.spec.choose == "fifo" or not count:
            return [one for _, one in self.lists[:count]]
        weights = np.array([self._weight(one, step - drawn) for drawn, one in self.lists])
        # the largest of log weight + Gumbel noise are a draw without replacement
        noise = np.random.default_rng([self.seed, step]).gumbel(size=len(weights))
        places = np.argsort(-(np.log(weights) + noise), kind="stable")[:count]
        return [self.lists[place][1] for place in sorted(places)]

    def _weight(self, one: Listed, age: int) -> float:
        if self.spec.choose == "age":
            return float(0.5 ** min(age, 1000))
        return max(max(one.labels) - min(one.labels), 1e-6)
