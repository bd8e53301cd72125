"""Several rewards in one that asks for all of them: log-sigmoids against a reference value, arXiv:2402.00742."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from alignlab.judges.judge import Asked, Judged
from alignlab.judges.scores import Score, scores_of
from alignlab.judges.several import all_built, bind_all, wanted_by
from alignlab.policies.load import LoadedPolicy
from alignlab.settings import Share


class CombinationJudge:
    """Sums u = log sigmoid(r - r_ref) over the rewards r of other judges: the log-probability of 'good in all'.

    r_ref says what counts as good: the `quantile` of the rewards of the list itself, or a number of `references`, by
    the judge's name. A judge that gives preferences counts with the log of the mean probability of winning. `weights`
    multiply the terms. `transform=none` is the plain weighted sum of rewards, which one large reward can carry alone.
    A response counts as judged where all judges gave it a score; the aspects are their scores.
    """

    def __init__(
        self,
        *,
        judges: Mapping[str, Any],
        weights: Mapping[str, float] | None = None,
        references: Mapping[str, float] | None = None,
        quantile: Share = 0.85,
        transform: Literal["log_sigmoid", "none"] = "log_sigmoid",
    ) -> None:
        self.judges = all_built(judges)
        self.weights = {**dict.fromkeys(self.judges, 1.0), **(weights or {})}
        self.references, self.quantile, self.transform = {**(references or {})}, quantile, transform

    @classmethod
    def problems(cls, settings: Mapping[str, Any]) -> Iterator[str]:
        """Yield a message for weights and references of judges that are not there."""
        for key in ("weights", "references"):
            for name in settings.get(key) or {}:
                if name not in (settings.get("judges") or {}):
                    yield f"judge.{key}.{name}: judge.judges has no '{name}'"

    @property
    def wants(self) -> frozenset[str]:
        """The models of the run that its judges read."""
        return wanted_by(self.judges.values())

    def bind(self, policy: LoadedPolicy | None, reference: LoadedPolicy | None) -> None:
        """Give its judges the models of the run."""
        bind_all(self.judges.values(), policy, reference)

    @property
    def identity(self) -> str:
        """The identities of its judges, and how they are combined."""
        own = (
            f"{self.transform} quantile {self.quantile:g} references {self.references} weights {self.weights}"
        )
        inside = "; ".join(f"{name}: {judge.identity}" for name, judge in self.judges.items())
        return f"combination {own} of [{inside}]"

    def __call__(self, asked: Sequence[Asked]) -> list[Judged]:
        """Return the combined rewards of each list."""
        said = {name: judge(asked) for name, judge in self.judges.items()}
        return [self._judged({name: of[place] for name, of in said.items()}) for place in range(len(asked))]

    def _judged(self, said: Mapping[str, Judged]) -> Judged:
        columns: dict[str, tuple[Score, ...]] = {}
        total: list[Score] = []
        for name, judged in said.items():
            scores = scores_of(judged)
            if scores is None:
                return Judged(unsaid=f"{name}: {judged.unsaid}")
            columns[name] = scores
            terms = self._terms(name, scores, compares=judged.rewards is None)
            total = terms if not total else [_sum(*two) for two in zip(total, terms, strict=True)]
        if all(value is None for value in total):
            return Judged(unsaid="no response has a score of every judge")
        return Judged(rewards=tuple(total), aspects=columns)

    def _terms(self, name: str, scores: Sequence[Score], *, compares: bool) -> list[Score]:
        """What a judge adds for each response."""
        weight = self.weights[name]
        if self.transform == "none":
            return [None if score is None else weight * score for score in scores]
        if compares:
            return [None if score is None else weight * math.log(max(score, 1e-12)) for score in scores]
        there = [score for score in scores if score is not None]
        reference = self.references.get(name)
        if reference is None:
            reference = float(np.quantile(there, self.quantile)) if there else 0.0
        return [None if score is None else weight * log_sigmoid(score - reference) for score in scores]


def log_sigmoid(value: float) -> float:
    """Return log(1 / (1 + e^-value)), exact for large values of either sign.

    >>> round(log_sigmoid(0.0), 6), log_sigmoid(-1000.0)
    (-0.693147, -1000.0)
    """
    return min(value, 0.0) - math.log1p(math.exp(-abs(value)))


def _sum(first: Score, second: Score) -> Score:
    return None if first is None or second is None else first + second
