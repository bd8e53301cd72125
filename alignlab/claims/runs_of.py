"""The runs that a claim takes, as overrides of train.py, and how many these are."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from statistics import fmean

from alignlab.claims.claim import Claim, Common
from alignlab.runs.overrides import key_of

SMALL_SEEDS = 2


@dataclass(frozen=True)
class Job:
    """One run to be made, and what is measured of it beyond its final metrics. `models` are made before it, by name."""

    overrides: tuple[str, ...]
    measures: tuple[str, ...] = ()
    models: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """The name of its cached result: the same for the same run, whichever claim asks for it."""
        identity = [sorted(self.overrides), sorted(self.measures), self.models, version("alignlab")]
        return hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16]


Metrics = Mapping[str, float]
Results = Callable[[Job], Metrics | None]
"""Gives the metrics of a finished run; None of one that is not there."""


@dataclass(frozen=True)
class Plan:
    """The runs of a claim: those of the search, and, once these are there, those that judge."""

    claim: Claim
    common: Common
    small: bool = False

    @property
    def seeds(self) -> Sequence[int]:
        """The seeds of the runs that judge."""
        return self.common.seeds[:SMALL_SEEDS] if self.small else self.common.seeds

    @property
    def values(self) -> Sequence[float]:
        """The values that the search tries for every arm; none where nothing is searched."""
        values = self.claim.search.values if self.claim.search else ()
        return values[:SMALL_SEEDS] if self.small else values

    @property
    def tuning_seeds(self) -> Sequence[int]:
        """The seeds of the search, which judge nothing."""
        return self.common.tuning_seeds[:1] if self.small else self.common.tuning_seeds

    def tuned(self) -> list[str]:
        """The names of the arms that are searched themselves."""
        return [name for name, arm in self.claim.arms.items() if self.values and arm.tuned_as is None]

    def job(self, arm: str, seed: int, value: float | None) -> Job:
        """One run of an arm; `value` is that of the searched key, None where nothing is searched."""
        claim = self.claim
        chosen = [f"{claim.search.key}={value}"] if claim.search and value is not None else []
        line = merged(
            self.common.runs,
            claim.runs,
            claim.arms[arm].runs,
            chosen,
            self.common.small if self.small else (),
            [f"seed={seed}"],
        )
        models = tuple(json.dumps([name, keys], sort_keys=True) for name, keys in claim.models.items())
        return Job(tuple(line), tuple(claim.measures), models)

    def search(self) -> list[Job]:
        """Every run of the search."""
        return [
            self.job(arm, seed, value)
            for arm in self.tuned()
            for value in self.values
            for seed in self.tuning_seeds
        ]

    def chosen(self, results: Results) -> dict[str, float | None]:
        """The value that each arm is judged with: the best mean of its search; those without all runs are left out."""
        values: dict[str, float | None] = {}
        if self.claim.search is None:
            return dict.fromkeys(self.claim.arms)
        for arm in self.tuned():
            means = {}
            for value in self.values:
                runs = [results(self.job(arm, seed, value)) for seed in self.tuning_seeds]
                scores = [metrics[self.claim.search.by] for metrics in runs if metrics is not None]
                if len(scores) == len(runs):
                    means[value] = fmean(scores)
            if len(means) == len(self.values):
                values[arm] = max(means, key=means.__getitem__)
        others = {name: arm.tuned_as for name, arm in self.claim.arms.items() if arm.tuned_as}
        return values | {name: values[other] for name, other in others.items() if other in values}

    def judging(self, results: Results) -> list[Job]:
        """Every run that judges, of the arms whose search is done."""
        return [job for arm, value in self.chosen(results).items() for job in self.of_arm(arm, value)]

    def of_arm(self, arm: str, value: float | None) -> list[Job]:
        """The runs that judge an arm, by seed, with the value that its search chose."""
        return [self.job(arm, seed, value) for seed in self.seeds]

    def count(self) -> int:
        """The number of runs in all, of the search and of those that judge."""
        return len(self.search()) + len(self.claim.arms) * len(self.seeds)


def merged(*parts: Sequence[str]) -> list[str]:
    """All overrides in order, of each key the last one.

    >>> merged(["objective=dpo", "seed=1"], ["objective=ipo"])
    ['seed=1', 'objective=ipo']
    """
    by_key: dict[str, str] = {}
    for text in (text for part in parts for text in part):
        key = key_of(text)
        by_key.pop(key, None)
        by_key[key] = text
    return list(by_key.values())
