"""A reward model that learns as the policy trains, from a budget of another judge's verdicts."""

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch

from alignlab.judges.acquisition import gap, largest
from alignlab.judges.judge import Asked, Judged
from alignlab.judges.scores import Score, scores_of
from alignlab.judges.scoring_model import ScoringModel, rewarded
from alignlab.judges.several import bind_all, built, wanted_by
from alignlab.losses.pairs.bradley_terry import bradley_terry
from alignlab.policies.load import LoadedPolicy
from alignlab.policies.policy import NO_REFERENCES
from alignlab.sampling.in_process import evaluating
from alignlab.settings import Count, Place, Positive, PositiveNumber, Seed
from alignlab.types import Example

Pair = tuple[list[dict[str, Any]], str, str]
"""The turns of a prompt, the better response and the worse one."""


class DiscriminatorJudge:
    """Gives every response the value of a reward model (silver), which learns from verdicts of `judge` (gold): D2PO.

    arXiv:2405.01511. Of the lists of each draw, `learn` has the `judge` compare the best and the worst response of
    `relabels`, those of which the model is least certain (`choose=confidence`, the smallest difference of values) or
    any (`random`), until `budget` lists are spent; trains by the Bradley-Terry loss for `epochs` passes over these
    pairs and those of the last `replay` draws; and then the lists are judged. Pairs of equal verdicts count for the
    budget, and teach nothing. `path` is the `model/` folder that it starts from.
    """

    def __init__(
        self,
        *,
        path: Place,
        judge: Mapping[str, Any],
        relabels: Count = 16,
        choose: Literal["confidence", "random"] = "confidence",
        budget: Count | None = None,
        lr: PositiveNumber = 1e-4,
        epochs: Positive = 4,
        replay: Count = 5,
        batch: Positive = 16,
        seed: Seed = 0,
        dtype: Literal["float32", "bfloat16", "float16", "float64"] = "float32",
    ) -> None:
        self.model = ScoringModel(path, "values", "judge.path", dtype)
        self.judge = built(judge, "judge.judge")
        self.relabels, self.choose, self.budget = relabels, choose, budget
        self.lr, self.epochs, self.replay, self.batch, self.seed = lr, epochs, replay, batch, seed
        self.lessons: list[list[Pair]] = []
        """The pairs of the latest draws, the oldest draw first."""
        self.learned, self.spent = 0, 0

    @property
    def wants(self) -> frozenset[str]:
        """The models of the run that the judge of gold labels reads."""
        return wanted_by([self.judge])

    def bind(self, policy: LoadedPolicy | None, reference: LoadedPolicy | None) -> None:
        """Give the judge of gold labels the models of the run."""
        bind_all([self.judge], policy, reference)

    @cached_property
    def start(self) -> str:
        """The hash of the model before it has learned anything."""
        return self.model.identity

    @cached_property
    def optimizer(self) -> torch.optim.Optimizer:
        """What moves the weights; its state goes on from lesson to lesson."""
        return torch.optim.AdamW(self.model.policy.policy.parameters(), lr=self.lr, weight_decay=0.0)

    @property
    def identity(self) -> str:
        """The hash of the model at its start, how often and of whom it has learned since, and how it learns."""
        how = f"{self.relabels} by {self.choose}, budget {self.budget}, lr {self.lr:g}, {self.epochs} epochs"
        how += f", replay {self.replay}, batch {self.batch}, seed {self.seed}"
        return f"discriminator {self.start} after {self.learned} lessons ({how}) of [{self.judge.identity}]"

    def __call__(self, asked: Sequence[Asked]) -> list[Judged]:
        """Return the values of each list as rewards; nothing is learned."""
        return [
            Judged(unsaid=scores) if isinstance(scores, str) else rewarded(scores.values)
            for scores in self.model(asked)
        ]

    def learn(
        self, asked: Sequence[Asked], told: Sequence[Sequence[Score] | None] | None = None
    ) -> list[tuple[Score, ...] | None]:
        """Learn from the lists of a draw, and return for each the gold scores of its responses; None if not labelled.

        With `told`, what an earlier call returned for these lists, it learns the same, and nobody is asked again.
        """
        assert self.start  # the hash of the weights before they move
        gold = self._told(asked) if told is None else [None if one is None else tuple(one) for one in told]
        self.spent += sum(one is not None for one in gold)
        pairs = [
            _pair(one, of_one) for one, of_one in zip(asked, gold, strict=True) if of_one and _decided(of_one)
        ]
        self.lessons = [*self.lessons, pairs][-1 - self.replay :]
        self._train([pair for lesson in self.lessons for pair in lesson])
        self.learned += 1
        return gold

    def state_dict(self) -> dict[str, Any]:
        """Return the weights, the state of their optimizer, and what is learned again."""
        return {
            "start": self.start,
            "weights": self.model.policy.policy.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "lessons": [[list(pair) for pair in lesson] for lesson in self.lessons],
            "learned": self.learned,
            "spent": self.spent,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from such a state."""
        self.start = state["start"]
        self.model.policy.policy.load_state_dict(state["weights"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.lessons = [
            [(prompt, better, worse) for prompt, better, worse in one] for one in state["lessons"]
        ]
        self.learned, self.spent = state["learned"], state["spent"]

    def _told(self, asked: Sequence[Asked]) -> list[tuple[Score, ...] | None]:
        """The verdicts of the judge on the pairs that are worth a gold label, widened to their lists."""
        silver = [None if scores is None else _extremes(scores) for scores in map(scores_of, self(asked))]
        places = np.random.default_rng([self.seed, self.learned]).permutation(len(asked)).tolist()
        places = [place for place in places if silver[place] is not None]
        left = self.relabels if self.budget is None else min(self.relabels, self.budget - self.spent)
        if self.choose == "confidence":
            uncertainty = [0.0 if two is None else -gap(two[1]) for two in silver]
            places = largest(uncertainty, left, places)
        gold: list[tuple[Score, ...] | None] = [None] * len(asked)
        chosen = {place: silver[place][0] for place in sorted(places[:left])}
        said = self.judge([_taken(asked[place], two) for place, two in chosen.items()]) if chosen else []
        for (place, two), one in zip(chosen.items(), said, strict=True):
            scores = dict(zip(two, scores_of(one) or (None, None), strict=True))
            gold[place] = tuple(scores.get(k) for k in range(len(asked[place].responses)))
        return gold

    def _train(self, pairs: Sequence[Pair]) -> None:
        """Train on pairs in batches, an epoch in an order of its own after the other."""
        loaded = self.model.policy
        with evaluating(loaded.policy), torch.enable_grad():
            for epoch in range(self.epochs):
                order = np.random.default_rng([self.seed, self.learned, epoch]).permutation(len(pairs))
                for start in range(0, len(pairs), self.batch):
                    self._step(loaded, [pairs[place] for place in order[start : start + self.batch]])

    def _step(self, loaded: LoadedPolicy, pairs: Sequence[Pair]) -> None:
        examples = [
            Example([*prompt], [better, worse], [1.0, 0.0], id=str(place))
            for place, (prompt, better, worse) in enumerate(pairs)
        ]
        self.optimizer.zero_grad()
        for _, batch in loaded.batches(loaded.encoder(examples), examples):
            values = loaded.policy.signals(batch, NO_REFERENCES, {"values"})["values"]
            losses = bradley_terry(values[:, 0], values[:, 1], torch.zeros_like(values[:, 0]))
            (losses.sum() / len(pairs)).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(loaded.policy.parameters(), 1.0)
        self.optimizer.step()


def _extremes(scores: Sequence[Score]) -> tuple[tuple[int, int], tuple[float, float]] | None:
    """The numbers of the best and the worst response, with their values; None of fewer than two that have one."""
    there = [(score, k) for k, score in enumerate(scores) if score is not None and math.isfinite(score)]
    if len(there) < 2:
        return None
    (high, best), (low, worst) = (
        max(there, key=lambda two: two[0]),
        min(reversed(there), key=lambda two: two[0]),
    )
    return (best, worst), (high, low)


def _taken(one: Asked, places: Sequence[int]) -> Asked:
    """The list with these of its responses alone."""
    finished = tuple(one.finished[place] for place in places) if one.finished else ()
    return Asked(one.id, one.prompt, tuple(one.responses[place] for place in places), finished, one.meta)


def _decided(gold: Sequence[Score]) -> bool:
    return len({score for score in gold if score is not None}) == 2


def _pair(one: Asked, gold: Sequence[Score]) -> Pair:
    known = [(score, text) for score, text in zip(gold, one.responses, strict=True) if score is not None]
    (_, worse), (_, better) = sorted(known)
    return [dict(turn) for turn in one.prompt], better, worse
