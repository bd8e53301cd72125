"""How likely a pleased person's next turn is against a displeased one's: FLR, arXiv:2409.13948."""

import hashlib
from collections.abc import Mapping, Sequence
from itertools import takewhile
from statistics import fmean
from typing import Literal

import numpy as np

from alignlab.judges.follow_ups import FOLLOW_UPS
from alignlab.judges.judge import Asked, Judged
from alignlab.judges.scores import Score
from alignlab.judges.scoring_model import ScoringModel
from alignlab.policies.load import LoadedPolicy
from alignlab.sampling.rollout import Rollout
from alignlab.sampling.scored import token_logps
from alignlab.settings import Place

Sets = Mapping[str, tuple[Sequence[str], Sequence[str]]]


class FollowUpJudge:
    """Rewards a response by mean log p(positive follow-up) - mean log p(negative one), a mean over categories.

    A follow-up is scored as the next turn of the user, over its own tokens alone, each given all before it; `per_token`
    divides by their number. `path` is a language model's folder; without one it is the policy of the run. The aspects
    are the categories. `swapped` exchanges the sets, which turns the sign.
    """

    def __init__(
        self,
        *,
        path: Place | None = None,
        per_token: bool = True,
        swapped: bool = False,
        dtype: Literal["float32", "bfloat16", "float16", "float64"] = "float32",
    ) -> None:
        self.model = ScoringModel(path, "logps", "judge.path", dtype)
        self.per_token = per_token
        self.sets: Sets = {name: two[::-1] if swapped else two for name, two in FOLLOW_UPS.items()}
        self.texts = [text for two in self.sets.values() for texts in two for text in texts]

    @property
    def wants(self) -> frozenset[str]:
        """The policy of the run, where no folder was named."""
        return frozenset(["policy"] if self.model.path is None else [])

    def bind(self, policy: LoadedPolicy | None, reference: LoadedPolicy | None) -> None:
        """Judge by the policy of the run where no folder was named."""
        self.model.bind(policy)

    @property
    def identity(self) -> str:
        """The hash of the model, and of the follow-ups in their sets."""
        texts = hashlib.sha256(repr(self.sets).encode()).hexdigest()[:12]
        return f"follow_up {texts} {'per token' if self.per_token else 'sum'} of {self.model.identity}"

    def __call__(self, asked: Sequence[Asked]) -> list[Judged]:
        """Return the rewards of each list; a response that leaves no room for a next turn has none."""
        return [self._judged(one) for one in asked]

    def _judged(self, one: Asked) -> Judged:
        reads = [self._read(one, response) for response in one.responses]
        fit = [read for read in reads if read is not None]
        if not fit:
            return Judged(unsaid="no room for a next turn in the context of the judge")
        scores = iter(token_logps(self.model.policy.policy.model, fit))
        by_category = [None if read is None else self._gaps(next(scores)) for read in reads]
        aspects: dict[str, tuple[Score, ...]] = {
            name: tuple(None if gaps is None else gaps[name] for gaps in by_category) for name in self.sets
        }
        rewards = tuple(None if gaps is None else fmean(gaps.values()) for gaps in by_category)
        return Judged(rewards=rewards, aspects=aspects)

    def _read(self, one: Asked, response: str) -> Rollout | None:
        """The conversation up to the next turn of the user, with every follow-up's own tokens as a response to it."""
        loaded = self.model.policy
        turns = [*one.prompt, {"role": "assistant", "content": response}]
        whole = [
            loaded.encoder.prompt_ids([*turns, {"role": "user", "content": text}]) for text in self.texts
        ]
        before, after = shared(whole), shared([ids[::-1] for ids in whole])
        own = [np.array(ids[before : len(ids) - after]) for ids in whole]
        most = getattr(loaded.policy.model.config.get_text_config(), "max_position_embeddings", None)
        if most and max(map(len, whole)) > most:
            return None
        zeros = tuple(np.zeros(len(ids), np.float32) for ids in own)
        return Rollout(one.id, np.array(whole[0][:before]), tuple(own), zeros, (True,) * len(own), 0, "")

    def _gaps(self, logps: Sequence[np.ndarray]) -> dict[str, float]:
        """By category, how much likelier the positive follow-ups are than the negative ones, in nats."""
        scores = iter([float(one.mean() if self.per_token else one.sum()) for one in logps])
        gaps = {}
        for name, (positive, negative) in self.sets.items():
            better = fmean([next(scores) for _ in positive])
            gaps[name] = better - fmean([next(scores) for _ in negative])
        return gaps


def shared(rows: Sequence[Sequence[int]]) -> int:
    """Return how many elements at their beginning all rows have in common.

    >>> shared([[1, 2, 3], [1, 2, 4, 5]])
    2
    """
    return sum(1 for _ in takewhile(lambda column: len({*column}) == 1, zip(*rows, strict=False)))
