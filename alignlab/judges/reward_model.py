"""A trained reward model as a judge."""

from collections.abc import Sequence
from typing import Literal

from alignlab.judges.judge import Asked, Judged
from alignlab.judges.scoring_model import ScoringModel, rewarded
from alignlab.settings import Place


class RewardModelJudge:
    """Gives every response the value of a reward model; `path` is the `model/` of a run, or a classifier of one label.

    A response that was cut is read with the token that ends one, as in training.
    """

    def __init__(
        self, *, path: Place, dtype: Literal["float32", "bfloat16", "float16", "float64"] = "float32"
    ) -> None:
        self.model = ScoringModel(path, "values", "judge.path", dtype)

    @property
    def identity(self) -> str:
        """The name of the judge, and the hash of its model."""
        return f"reward_model {self.model.identity}"

    def __call__(self, asked: Sequence[Asked]) -> list[Judged]:
        """Return the values of each list as rewards."""
        return [
            Judged(unsaid=scores) if isinstance(scores, str) else rewarded(scores.values)
            for scores in self.model(asked)
        ]
