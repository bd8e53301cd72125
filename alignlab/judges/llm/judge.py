"""A language model as a judge: of two responses, both orders seen, or of one response by a rubric of aspects."""

import hashlib
import random
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any, Literal

from alignlab.http_json import Endpoint
from alignlab.judges.judge import Asked, Judged
from alignlab.judges.llm.asking import ASPECTS, RULE, compared, rated, ratings_in, reason_in, verdict_in
from alignlab.judges.llm.backend import Backend, Chosen, Unanswered
from alignlab.judges.llm.local import LocalModel
from alignlab.judges.llm.server import ServedModel
from alignlab.judges.scores import Score, table
from alignlab.judges.scoring_model import ScoringModel
from alignlab.policies.load import LoadedPolicy
from alignlab.settings import Place, Positive, PositiveNumber, Share, Text

MEANING = "2"
"""Changes when the questions or their reading do, and with it the identity of every judge."""


class LanguageModelJudge:
    """Judges by a language model: one of a folder (`path`), one behind a server (`url`, `model`), or the run's own.

    `form=pairwise` asks of two responses which is better, in both orders, and gives the mean as a probability; of a
    list, `pairs=all` compares every two, `ring` each with the next of a circle that the row's id draws. The aspect
    `position` is the share that whichever stood first got: 1/2 without a bias. `form=rubric` asks of each response a
    rating from 1 to 5 in each of `aspects`, and gives their mean by weight.

    `verdict=labels` reads the probabilities of the labels as the first token of the answer; their `mass` is an aspect,
    and below `min_mass` there is no verdict. `verdict=text` reads written answers, which have reasons; what cannot be
    read is unparsed. Responses to different prompts are each shown behind their own.
    """

    joint = True

    def __init__(
        self,
        *,
        path: Place | None = None,
        url: Text | None = None,
        model: Text | None = None,
        key_env: Text | None = None,
        form: Literal["pairwise", "rubric"] = "pairwise",
        verdict: Literal["labels", "text"] = "labels",
        aspects: Mapping[str, float] | None = None,
        criteria: Mapping[str, str] | None = None,
        pairs: Literal["all", "ring"] = "all",
        min_mass: Share = 0.0,
        max_tokens: Positive = 256,
        concurrent: Positive = 8,
        timeout: PositiveNumber = 120.0,
        retries: Positive = 5,
        dtype: Literal["float32", "bfloat16", "float16", "float64"] = "float32",
    ) -> None:
        self.form, self.verdict, self.pairs, self.min_mass = form, verdict, pairs, min_mass
        self.weights = {**(aspects or {"helpfulness": 1.0})}
        self.aspects = {name: (criteria or {}).get(name) or ASPECTS[name] for name in self.weights}
        self.local: ScoringModel | None = None
        self.backend: Backend
        if url is None:
            self.local = ScoringModel(path, "logps", "judge.path", dtype)
            self.backend = LocalModel(self.local, max_tokens=max_tokens)
        else:
            endpoint = Endpoint(url, timeout=timeout, retries=retries, key_env=key_env)
            self.backend = ServedModel(endpoint, str(model), max_tokens=max_tokens, concurrent=concurrent)
        self.most = f"{max_tokens} tokens" if verdict == "text" else f"mass {min_mass:g}"

    @property
    def waits(self) -> bool:
        """Whether a server answers."""
        return self.local is None

    @classmethod
    def problems(cls, settings: Mapping[str, Any]) -> Iterator[str]:
        """Yield what is wrong with the settings together."""
        if settings.get("url") is not None and settings.get("path") is not None:
            yield "judge.path and judge.url are set, and a judge is one model: drop one of them"
        if settings.get("url") is not None and settings.get("model") is None:
            yield "judge.model is missing: the name that the model has at judge.url"
        if settings.get("url") is None and (settings.get("model") or settings.get("key_env")):
            yield "judge.model and judge.key_env belong to a server: set judge.url"
        known = {*ASPECTS, *(settings.get("criteria") or {})}
        for name, weight in (settings.get("aspects") or {}).items():
            if name not in known:
                yield f"judge.aspects.{name}: tell its meaning by judge.criteria.{name}=, or use {', '.join(ASPECTS)}"
            if not isinstance(weight, (int, float)) or not 0 < weight < float("inf"):
                yield f"judge.aspects.{name}={weight}: expected a weight above 0"

    @property
    def wants(self) -> frozenset[str]:
        """The policy of the run, where no model is named."""
        return frozenset(["policy"] if self.local is not None and self.local.path is None else [])

    def bind(self, policy: LoadedPolicy | None, reference: LoadedPolicy | None) -> None:
        """Judge by the policy of the run where no model is named."""
        if self.local is not None:
            self.local.bind(policy)

    @property
    def identity(self) -> str:
        """The model, and how it is asked."""
        parts = [MEANING, RULE, repr(sorted(self.aspects.items())), repr(sorted(self.weights.items()))]
        asked = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]
        pairs = f" {self.pairs}" if self.form == "pairwise" else ""
        return f"llm {self.form}{pairs} by {self.verdict} ({self.most}), asked {asked}, of {self.backend.identity}"

    def __call__(self, asked: Sequence[Asked]) -> list[Judged]:
        """Return preferences, or ratings as rewards with their aspects."""
        return self._compare(asked) if self.form == "pairwise" else self._rate(asked)

    def _compare(self, asked: Sequence[Asked]) -> list[Judged]:
        pairs = [(one, i, j) for one in asked for i, j in self._pairs(one)]
        both = [(one, *order) for one, i, j in pairs for order in ((i, j), (j, i))]
        written = self.verdict == "text"
        questions = [compared(one, i, j, self.aspects, reasoned=written) for one, i, j in both]
        firsts, masses, reasons = self._answers(questions, verdict_in)
        judged = []
        start = 0
        for one in asked:
            own = self._pairs(one)
            part = slice(start, start + 2 * len(own))
            judged.append(_compared(len(one.responses), own, firsts[part], masses[part], reasons[part]))
            start = part.stop
        return judged

    def _pairs(self, one: Asked) -> list[tuple[int, int]]:
        """The pairs of a list that are compared."""
        places = [*range(len(one.responses))]
        if self.pairs == "all" or len(places) < 4:
            return [*combinations(places, 2)]
        random.Random(one.id).shuffle(places)
        return [(min(two), max(two)) for two in zip(places, [*places[1:], places[0]], strict=True)]

    def _answers(self, questions: Any, read: Any) -> tuple[list[Any], list[Score], list[str]]:
        """What each answer says (a value, or why there is none), the mass of its labels, and its reason."""
        if self.verdict == "labels":
            chosen = self.backend.choose(questions)
            values = [self._value(one) for one in chosen]
            return (
                values,
                [one.mass if isinstance(one, Chosen) else None for one in chosen],
                [""] * len(values),
            )
        texts = self.backend.write(questions)
        read_texts = [text if isinstance(text, Unanswered) else read(text) for text in texts]
        said = [Unanswered("unparsed") if value is None else value for value in read_texts]
        reasons = ["" if isinstance(text, Unanswered) else reason_in(text) for text in texts]
        return said, [None] * len(said), reasons

    def _value(self, one: Chosen | Unanswered) -> float | Unanswered:
        """The probability of A, or the mean rating."""
        if isinstance(one, Unanswered):
            return one
        if one.mass < self.min_mass:
            return Unanswered("its labels are improbable")
        if len(one.shares) == 2:
            return one.shares[0]
        return sum(level * share for level, share in enumerate(one.shares, start=1))

    def _rate(self, asked: Sequence[Asked]) -> list[Judged]:
        written = self.verdict == "text"
        groups = [self.aspects] if written else [{name: text} for name, text in self.aspects.items()]
        flat = [(one, k) for one in asked for k in range(len(one.responses))]
        questions = [rated(one, k, group, reasoned=written) for one, k in flat for group in groups]
        values, masses, reasons = self._answers(questions, lambda text: ratings_in(text, [*self.aspects]))
        judged = []
        start = 0
        for one in asked:
            own = [
                _ratings(values[at : at + len(groups)], [*self.aspects])
                for at in range(start, start + len(one.responses) * len(groups), len(groups))
            ]
            stop = start + len(one.responses) * len(groups)
            judged.append(
                self._rated(own, masses[start:stop:1], reasons[start:stop] if written else [], len(groups))
            )
            start = stop
        return judged

    def _rated(
        self,
        own: Sequence[dict[str, float] | Unanswered],
        masses: Sequence[Score],
        reasons: Sequence[str],
        groups: int,
    ) -> Judged:
        rewards = tuple(None if isinstance(one, Unanswered) else self._mean(one) for one in own)
        if all(reward is None for reward in rewards):
            return Judged(unsaid=next(one.reason for one in own if isinstance(one, Unanswered)))
        aspects: dict[str, tuple[Score, ...]] = {
            name: tuple(None if isinstance(one, Unanswered) else one[name] for one in own)
            for name in self.aspects
        }
        if self.verdict == "labels":
            grouped = [masses[i : i + groups] for i in range(0, len(masses), groups)]
            aspects["mass"] = tuple(
                _mean([mass for mass in of_one if mass is not None]) for of_one in grouped
            )
        return Judged(rewards=rewards, aspects=aspects, reasons=tuple(reasons))

    def _mean(self, ratings: Mapping[str, float]) -> float:
        return sum(ratings[name] * weight for name, weight in self.weights.items()) / sum(
            self.weights.values()
        )


def _compared(
    size: int,
    pairs: Sequence[tuple[int, int]],
    firsts: Sequence[float | Unanswered],
    masses: Sequence[Score],
    reasons: Sequence[str],
) -> Judged:
    """The verdict on a list, from the probabilities of whichever response stood first, two of each pair in turn."""
    wins: dict[tuple[int, int], Score] = {}
    shares: list[list[float]] = [[] for _ in range(size)]
    mass_of: list[list[float]] = [[] for _ in range(size)]
    texts: list[list[str]] = [[] for _ in range(size)]
    for number, (i, j) in enumerate(pairs):
        here, there = firsts[2 * number : 2 * number + 2]
        for k in (i, j):
            mass_of[k] += [m for m in masses[2 * number : 2 * number + 2] if m is not None]
            texts[k] += [text for text in reasons[2 * number : 2 * number + 2] if text]
        if isinstance(here, Unanswered) or isinstance(there, Unanswered):
            continue
        wins[i, j] = (here + 1 - there) / 2
        for k in (i, j):
            shares[k].append((here + there) / 2)
    if not wins:
        failures = [one.reason for one in firsts if isinstance(one, Unanswered)]
        return Judged(unsaid=failures[0] if failures else "one response")
    aspects = {"position": tuple(map(_mean, shares))}
    if any(mass_of):
        aspects["mass"] = tuple(map(_mean, mass_of))
    said = tuple("\n\n".join(of_one) for of_one in texts) if any(texts) else ()
    return Judged(preferences=table(size, wins), aspects=aspects, reasons=said)


def _ratings(answers: Sequence[Any], aspects: Sequence[str]) -> dict[str, float] | Unanswered:
    """The ratings of one response: one answer for all aspects, or one for each."""
    failure = next((one for one in answers if isinstance(one, Unanswered)), None)
    if failure is not None:
        return failure
    if isinstance(answers[0], dict):
        return dict(answers[0])
    return dict(zip(aspects, answers, strict=True))


def _mean(values: Sequence[float]) -> Score:
    return sum(values) / len(values) if values else None
