"""From verdicts to labels: responses without a verdict, responses that were cut, ties, and what stays of a list."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from alignlab.online.listed import Listed
from alignlab.online.pairs import Builder
from alignlab.online.settings import LabelsOf, Unfinished
from alignlab.own_code import named
from alignlab.sampling.noise import key_of


@dataclass(frozen=True)
class Labelling:
    """How labels are made of verdicts, and what stays of a list.

    `compares`: the objective learns nothing of one response. `keeps_ties`: its mean is over lists of equal labels too,
    though it learns nothing of them.
    """

    to: LabelsOf
    builder: Builder
    built: str
    """The name of the builder with its settings."""
    unfinished: Unfinished = "keep"
    unfinished_reward: float = 0.0
    distinct: bool = False
    """Whether equal responses count once."""
    compares: bool = True
    keeps_ties: bool = False
    seed: int = 0

    @property
    def name(self) -> str:
        """All that labels depend on, in words."""
        cut = self.unfinished
        if cut in ("subtract", "replace"):
            cut = f"{cut} {self.unfinished_reward:g}"  # type: ignore[assignment]
        return f"labels {self.to}, {self.built}, unfinished: {cut}{', distinct' if self.distinct else ''}"

    def __call__(self, one: Listed) -> Listed:
        """Return a judged list with what stays of it, or with the reason for which nothing does."""
        if one.judged.unsaid is not None:
            return one.without(f"not judged: {one.judged.unsaid}")
        said = self._said(one)
        if self.distinct:
            first = {ids.tobytes(): place for place, ids in reversed([*enumerate(one.rollout.responses)])}
            said = [k for k in said if first[one.rollout.responses[k].tobytes()] == k]
        kept = [k for k in said if self.unfinished != "drop" or one.rollout.finished[k]]
        if not kept:
            return one.without("no response finished" if said else "not judged")
        rewards = None if one.judged.rewards is None else [self._reward(one, k) for k in kept]
        labels = self._of_rewards(rewards) if rewards is not None else self._of_preferences(one, kept)
        if self.compares and len(kept) < 2:
            return one.without("fewer than two responses finished" if len(said) > 1 else "one response")
        if not self.keeps_ties and len({*labels}) == 1:
            return one.without("all tied")
        with named(f"online.pairs: {self.built}", self.builder):
            built = self.builder(labels, key_of(self.seed, one.rollout.id))
        if isinstance(built, str):
            return one.without(built)
        places, values = built
        return replace(
            one,
            kept=tuple(kept[place] for place in places),
            labels=tuple(map(float, values)),
            rewards=None if rewards is None else tuple(rewards[place] for place in places),
        )

    def _said(self, one: Listed) -> list[int]:
        """The responses that have a verdict."""
        judged, places = one.judged, range(len(one.texts))
        if judged.rewards is not None:
            return [k for k in places if judged.rewards[k] is not None]
        assert judged.preferences is not None
        return [k for k in places if any(judged.preferences[k][j] is not None for j in places if j != k)]

    def _reward(self, one: Listed, k: int) -> float:
        """The reward of a response, as `unfinished` has it."""
        assert one.judged.rewards is not None
        reward = one.judged.rewards[k]
        assert reward is not None
        if one.rollout.finished[k] or self.unfinished in ("keep", "drop"):
            return reward
        return self.unfinished_reward if self.unfinished == "replace" else reward - self.unfinished_reward

    def _of_rewards(self, rewards: Sequence[float]) -> list[float]:
        if self.to == "logistic":
            return [0.5 + 0.5 * math.tanh(reward / 2) for reward in rewards]
        if self.to == "rank":
            levels = sorted({*rewards})
            return [levels.index(reward) / max(1, len(levels) - 1) for reward in rewards]
        return [*rewards]

    def _of_preferences(self, one: Listed, kept: Sequence[int]) -> list[float]:
        """The mean probability with which a response is better than the others."""
        table = one.judged.preferences
        assert table is not None
        means = []
        for k in kept:
            said = [value for j in kept if j != k and (value := table[k][j]) is not None]
            means.append(sum(said) / len(said) if said else 0.5)
        return means


class Samples:
    """The labelling of responses that are no lists to train on: all stay as they are, and none has a label."""

    name = "samples beside the lists of the data"
    compares = False

    def __call__(self, one: Listed) -> Listed:
        """Return the list as it is."""
        return one
