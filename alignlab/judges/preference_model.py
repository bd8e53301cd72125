"""A trained general preference model as a judge."""

from collections.abc import Sequence
from typing import Literal

from alignlab.judges.judge import Asked, Judged
from alignlab.judges.scoring_model import ListScores, ScoringModel
from alignlab.settings import Place, PositiveNumber


class PreferenceModelJudge:
    """Gives every two responses the probability that the first is preferred; `path` is the `model/` of a run.

    With s the score of a pair, the probability is sigmoid(s / temperature), arXiv:2410.02197 equation 2; the
    `temperature` is that of the loss which the model was trained with. Both orders of a pair agree to the bit.
    """

    def __init__(
        self,
        *,
        path: Place,
        temperature: PositiveNumber = 0.1,
        dtype: Literal["float32", "bfloat16", "float16", "float64"] = "float32",
    ) -> None:
        self.model = ScoringModel(path, "preferences", "judge.path", dtype)
        self.temperature = temperature

    @property
    def identity(self) -> str:
        """The name of the judge, its temperature, and the hash of its model."""
        return f"preference_model {self.model.identity} temperature {self.temperature:g}"

    def __call__(self, asked: Sequence[Asked]) -> list[Judged]:
        """Return the preferences of each list."""
        return [self._judged(scores) for scores in self.model(asked)]

    def _judged(self, scores: ListScores | str) -> Judged:
        if isinstance(scores, str):
            return Judged(unsaid=scores)
        upper = (scores.values / self.temperature).sigmoid().tolist()
        places = range(len(upper))
        rows = [[upper[i][j] if i < j else 1 - upper[j][i] if j < i else 0.5 for j in places] for i in places]
        return Judged(preferences=tuple(map(tuple, rows)))
