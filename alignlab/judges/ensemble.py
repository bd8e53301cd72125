"""Several judges of the same thing as one: their mean, the least of them, or a lower bound."""

from collections.abc import Mapping, Sequence
from statistics import fmean, pstdev
from typing import Any, Literal

from alignlab.judges.judge import Asked, Judged
from alignlab.judges.scores import Score, scores_of
from alignlab.judges.several import all_built, bind_all, wanted_by
from alignlab.policies.load import LoadedPolicy
from alignlab.settings import NonNegative


class EnsembleJudge:
    """Joins the scores of judges in one unit, such as reward models that differ by their seed.

    `join=mean`, `min`, or `lower_bound`: the mean less `deviations` times the population standard deviation. A reward
    is known up to a constant of its prompt: `center` takes the mean of its list from each judge's rewards first, so
    that none decides by its offset. Judges that give preferences count with the mean probability of winning. A response
    is judged by those who say something of it; the aspects are their scores and the `spread`.
    """

    def __init__(
        self,
        *,
        judges: Mapping[str, Any],
        join: Literal["mean", "min", "lower_bound"] = "mean",
        deviations: NonNegative = 1.0,
        center: bool = True,
    ) -> None:
        self.judges = all_built(judges)
        self.join, self.deviations, self.center = join, deviations, center

    @property
    def wants(self) -> frozenset[str]:
        """The models of the run that its judges read."""
        return wanted_by(self.judges.values())

    def bind(self, policy: LoadedPolicy | None, reference: LoadedPolicy | None) -> None:
        """Give its judges the models of the run."""
        bind_all(self.judges.values(), policy, reference)

    @property
    def identity(self) -> str:
        """The identities of its judges, and how they are joined."""
        inside = "; ".join(f"{name}: {judge.identity}" for name, judge in self.judges.items())
        by = f"{self.join} {self.deviations:g}" if self.join == "lower_bound" else self.join
        return f"ensemble {by}{' centered' if self.center else ''} of [{inside}]"

    def __call__(self, asked: Sequence[Asked]) -> list[Judged]:
        """Return the joined scores of each list as rewards."""
        said = {name: judge(asked) for name, judge in self.judges.items()}
        return [self._judged({name: of[place] for name, of in said.items()}) for place in range(len(asked))]

    def _judged(self, said: Mapping[str, Judged]) -> Judged:
        columns = {name: scores for name, judged in said.items() if (scores := scores_of(judged)) is not None}
        if not columns:
            return Judged(unsaid="; ".join(f"{name}: {judged.unsaid}" for name, judged in said.items()))
        moved = [_centered(scores) if self.center else scores for scores in columns.values()]
        votes = [[score for score in of_one if score is not None] for of_one in zip(*moved, strict=True)]
        rewards = tuple(self._joined(of_one) if of_one else None for of_one in votes)
        spread = tuple(pstdev(of_one) if of_one else None for of_one in votes)
        return Judged(rewards=rewards, aspects={**columns, "spread": spread})

    def _joined(self, scores: Sequence[float]) -> float:
        if self.join == "min":
            return min(scores)
        return fmean(scores) - (self.deviations * pstdev(scores) if self.join == "lower_bound" else 0.0)


def _centered(scores: Sequence[Score]) -> tuple[Score, ...]:
    there = [score for score in scores if score is not None]
    middle = fmean(there) if there else 0.0
    return tuple(None if score is None else score - middle for score in scores)
