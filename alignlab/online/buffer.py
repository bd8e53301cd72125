"""Lists of earlier steps that are trained on again."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from alignlab.online.listed import Listed
from alignlab.online.settings import BufferSpec


@dataclass
class Kept:
    """A list of the buffer."""

    drawn: int
    """The step before which it was drawn."""
    one: Listed
    taken: int = 0
    """How often it was taken."""


class Buffer:
    """The newest lists that were drawn before, at most `size`; what it gives depends on those and on the seed alone."""

    def __init__(self, spec: BufferSpec, seed: int) -> None:
        self.spec, self.seed = spec, seed
        self.lists: list[Kept] = []
        """The oldest first."""

    def add(self, step: int, lists: Sequence[Listed]) -> None:
        """Keep lists that were drawn before this step; the oldest ones beyond the size leave."""
        self.lists = (
            [*self.lists, *(Kept(step, one) for one in lists)][-self.spec.size :] if self.spec.size else []
        )

    def share_of(self, lists: int) -> int:
        """Return how many of so many lists come from here."""
        return min(len(self.lists), round(self.spec.share * lists))

    def take(self, count: int, step: int) -> list[Listed]:
        """Return lists to train on again before this step, none of them twice; they stay here."""
        if self.spec.choose == "fifo" or not count:
            return [kept.one for kept in self.lists[:count]]
        weights = np.array([self.weight(kept, step) for kept in self.lists])
        # the largest of log weight + Gumbel noise are a draw without replacement
        noise = np.random.default_rng([self.seed, step]).gumbel(size=len(weights))
        places = np.argsort(-(np.log(weights) + noise), kind="stable")[:count]
        chosen = [self.lists[place] for place in sorted(places)]
        for kept in chosen:
            kept.taken += 1
        return [kept.one for kept in chosen]

    def weight(self, kept: Kept, step: int) -> float:
        """Return how likely a list is taken before a step, against others."""
        if self.spec.choose == "count":
            return 1 / (kept.taken + 1)
        if self.spec.choose == "age":
            return float(0.5 ** min(step - kept.drawn, 1000))
        return max(max(kept.one.labels) - min(kept.one.labels), 1e-6)
