"""A budget of labels, spent on the lists that the policy has most to learn from."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from alignlab.judges.acquisition import Choice, acquired, entropy, gap
from alignlab.judges.judge import Asked, Judged
from alignlab.judges.scoring_model import ListScores, ScoringModel
from alignlab.judges.several import bind_all, built, wanted_by
from alignlab.policies.load import LoadedPolicy
from alignlab.sampling.noise import key_of
from alignlab.settings import Positive, Seed


class ActiveJudge:
    """Asks another judge about the first two responses of `labels` lists, each time it is called, and of no others.

    Which lists these are is active preference learning, arXiv:2402.08114: `choose` by the entropy of the policy on the
    prompt, estimated from all its responses; by its certainty, the difference of the log-ratios to the reference of the
    two responses; `hybrid`, by certainty among `shortlist` times as many lists of largest entropy; or at `random`. The
    models are the policy and the reference of the run.
    """

    def __init__(
        self,
        *,
        judge: Mapping[str, Any],
        labels: Positive = 16,
        choose: Choice = "hybrid",
        shortlist: Positive = 2,
        seed: Seed = 0,
    ) -> None:
        self.judge = built(judge, "judge.judge")
        self.labels, self.choose, self.shortlist, self.seed = labels, choose, shortlist, seed
        self.policy = ScoringModel(None, "logps", "judge.policy")
        self.reference = ScoringModel(None, "logps", "judge.reference")

    @property
    def wants(self) -> frozenset[str]:
        """The models of the run that it and its judge read."""
        own = frozenset() if self.choose == "random" else frozenset({"policy", "reference"})
        return own | wanted_by([self.judge])

    def bind(self, policy: LoadedPolicy | None, reference: LoadedPolicy | None) -> None:
        """Take the models of the run."""
        self.policy.bind(policy)
        self.reference.bind(reference)
        bind_all([self.judge], policy, reference)

    @property
    def identity(self) -> str:
        """How lists are chosen, and the identity of who labels them; the policy that chooses is that of the step."""
        among = f" of {self.shortlist} times as many" if self.choose == "hybrid" else ""
        return (
            f"active {self.choose}{among}, {self.labels} labels, seed {self.seed}, of [{self.judge.identity}]"
        )

    def __call__(self, asked: Sequence[Asked]) -> list[Judged]:
        """Return the verdicts on the two responses of chosen lists; the others are without one."""
        places = self.chosen(asked)
        said = self.judge([first_two(asked[place]) for place in places])
        judged = [Judged(unsaid="not chosen")] * len(asked)
        for place, one in zip(places, said, strict=True):
            judged[place] = widened(one, len(asked[place].responses))
        return judged

    def chosen(self, asked: Sequence[Asked]) -> list[int]:
        """Return the places of the lists that get a label."""
        key = key_of(self.seed, "\n".join(one.id for one in asked))
        entropies, certainties = [0.0] * len(asked), [0.0] * len(asked)
        if self.choose != "random":
            ours, theirs = self.policy(asked, as_drawn=True), self.reference(asked, as_drawn=True)
            for place, (own, other) in enumerate(zip(ours, theirs, strict=True)):
                if isinstance(own, ListScores) and isinstance(other, ListScores):
                    entropies[place] = entropy(own.values.tolist())
                    certainties[place] = gap((own.values - other.values)[:2].tolist())
        return acquired(
            entropies,
            certainties,
            self.labels,
            choose=self.choose,
            shortlist=self.shortlist * self.labels,
            key=key,
        )


def first_two(one: Asked) -> Asked:
    """Return a list with its first two responses alone."""
    return replace(one, responses=one.responses[:2], finished=one.finished[:2])


def widened(judged: Judged, count: int) -> Judged:
    """Return a verdict on the first responses of a list as one on `count` of them; the rest is without one."""

    def filled(values: Sequence[float | None]) -> tuple[float | None, ...]:
        return (*values, *[None] * (count - len(values)))

    table = judged.preferences
    rest = () if table is None else ((None,) * count,) * (count - len(table))
    return replace(
        judged,
        rewards=None if judged.rewards is None else filled(judged.rewards),
        preferences=None if table is None else (*map(filled, table), *rest),
        aspects={name: filled(values) for name, values in judged.aspects.items()},
    )
