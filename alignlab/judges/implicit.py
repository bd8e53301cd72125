"""A policy as its own judge: the log-ratio against a reference, which is the reward that it has come to stand for."""

from collections.abc import Sequence
from typing import Literal

from alignlab.judges.judge import Asked, Judged
from alignlab.judges.scoring_model import ListScores, ScoringModel, rewarded
from alignlab.policies.load import LoadedPolicy
from alignlab.settings import Place, PositiveNumber


class ImplicitJudge:
    """Gives every response beta * (log pi(y|x) - log ref(y|x)), in nats, the labels of SPA, arXiv:2406.04412.

    `path` and `reference` are `model/` folders; without one it is the policy, or the reference, of the run; `initial`
    as the reference is the model that the run began with, whatever its stage is compared with. With
    `per_token` the log-ratio is divided by the number of tokens. A response that was cut counts without an end.
    """

    def __init__(
        self,
        *,
        path: Place | None = None,
        reference: Place | None = None,
        beta: PositiveNumber = 1.0,
        per_token: bool = False,
        dtype: Literal["float32", "bfloat16", "float16", "float64"] = "float32",
    ) -> None:
        self.policy = ScoringModel(path, "logps", "judge.path", dtype)
        self.initial = reference == "initial"
        self.reference = ScoringModel(None if self.initial else reference, "logps", "judge.reference", dtype)
        self.beta, self.per_token = beta, per_token

    @property
    def wants(self) -> frozenset[str]:
        """The models of the run that stand where no folder was named."""
        models = {"policy": self.policy, "initial" if self.initial else "reference": self.reference}
        return frozenset(name for name, model in models.items() if model.path is None)

    def bind(self, policy: LoadedPolicy | None, reference: LoadedPolicy | None) -> None:
        """Take the models of the run where no folders were named."""
        self.policy.bind(policy)
        self.reference.bind(reference)

    @property
    def identity(self) -> str:
        """The name of the judge, its settings, and the hashes of both models."""
        settings = f"beta {self.beta:g}{' per token' if self.per_token else ''}"
        return f"implicit {self.policy.identity} over {self.reference.identity} {settings}"

    def __call__(self, asked: Sequence[Asked]) -> list[Judged]:
        """Return the implicit rewards of each list."""
        ours, theirs = self.policy(asked, as_drawn=True), self.reference(asked, as_drawn=True)
        return [
            log_ratio(own, other, beta=self.beta, per_token=self.per_token)
            for own, other in zip(ours, theirs, strict=True)
        ]


def log_ratio(over: ListScores | str, under: ListScores | str, *, beta: float, per_token: bool) -> Judged:
    """Return beta times the difference of two models' log-probabilities as rewards.

    `per_token` divides each log-probability by its number of tokens, which vocabularies may differ in.
    """
    if isinstance(over, str) or isinstance(under, str):
        return Judged(unsaid=over if isinstance(over, str) else str(under))
    first, second = over.values, under.values
    if per_token:
        first = first / first.new_tensor(over.lengths)
        second = second / second.new_tensor(under.lengths)
    return rewarded(beta * (first - second))
