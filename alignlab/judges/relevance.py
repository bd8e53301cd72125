"""Relevance as a reward without any labels: likeness to the question, length, and no repetition, arXiv:2402.03469."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from alignlab.data.transforms.texts import words
from alignlab.judges.judge import Asked, Judged
from alignlab.judges.scoring_model import ScoringModel
from alignlab.policies.load import LoadedPolicy
from alignlab.sampling.text_vectors import encoded, missing_encoder, pooled
from alignlab.settings import Place

CLOSED = re.compile(
    r"^\s*(who|whom|whose|when|where|which|how (many|much|old|long|far|tall|big)|is|are|was|were|does|do|did|can|"
    r"could|has|have|translate|classify|calculate|compute|convert|extract|name|list)\b",
    re.IGNORECASE,
)
"""How questions begin that have one answer, where length is no merit."""


class RelevanceJudge:
    """R3: likeness(question, response) * words / 100 * novelty where a question is open, else likeness * novelty.

    Likeness is the cosine of mean-pooled states: of a language model (`path`, or the policy of the run), or of an
    encoder of sentence-transformers (`encoder`, a folder or a name; extra `embed`). A question with one answer is
    compared with the row's `meta["reference"]` where it has one. Novelty is the share of the response's trigrams of
    words that stand neither earlier in it nor in the question; 1 below three words. Open or not: `meta["open_ended"]`,
    else how the question begins; `questions` decides it for all. The aspects are the factors.
    """

    def __init__(
        self,
        *,
        path: Place | None = None,
        encoder: Place | None = None,
        questions: Literal["auto", "open", "closed"] = "auto",
        dtype: Literal["float32", "bfloat16", "float16", "float64"] = "float32",
    ) -> None:
        self.model = ScoringModel(path, "logps", "judge.path", dtype)
        self.encoder, self.questions = encoder, questions

    @classmethod
    def problems(cls, settings: Mapping[str, Any]) -> Iterator[str]:
        """Yield a message where two encoders are named, or the package of one is not installed."""
        if settings.get("encoder") is None:
            return
        if settings.get("path") is not None:
            yield "judge.path and judge.encoder are set, and one of them embeds: drop the other"
        yield from missing_encoder("judge.encoder")

    @property
    def wants(self) -> frozenset[str]:
        """The policy of the run, where no model was named."""
        return frozenset(["policy"] if self.model.path is None and self.encoder is None else [])

    def bind(self, policy: LoadedPolicy | None, reference: LoadedPolicy | None) -> None:
        """Embed by the policy of the run where no model was named."""
        self.model.bind(policy)

    @property
    def identity(self) -> str:
        """The encoder, and how questions are told apart."""
        by = f"encoder {self.encoder}" if self.encoder is not None else self.model.identity
        return f"relevance 1 questions {self.questions} by {by}"

    def __call__(self, asked: Sequence[Asked]) -> list[Judged]:
        """Return the rewards of each list."""
        texts: list[str] = []
        for one in asked:
            texts += [_aim(one, self._is_open(one)), *one.responses]
        vectors = self._embed(texts)
        judged, start = [], 0
        for one in asked:
            part = vectors[start : start + 1 + len(one.responses)]
            start += len(part)
            judged.append(self._judged(one, (part[1:] @ part[0]).tolist()))
        return judged

    def _judged(self, one: Asked, likeness: Sequence[float]) -> Judged:
        question = _question(one)
        fresh = [novelty(question, response) for response in one.responses]
        lengths = [len(response.split()) / 100 for response in one.responses]
        is_open = self._is_open(one)
        rewards = tuple(
            like * new * (length if is_open else 1.0)
            for like, new, length in zip(likeness, fresh, lengths, strict=True)
        )
        aspects = {"likeness": tuple(likeness), "novelty": tuple(fresh), "length": tuple(lengths)}
        return Judged(rewards=rewards, aspects=aspects)

    def _is_open(self, one: Asked) -> bool:
        if self.questions != "auto":
            return self.questions == "open"
        told = one.meta.get("open_ended")
        return told if isinstance(told, bool) else CLOSED.match(_question(one)) is None

    def _embed(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors of texts, `[texts, width]`."""
        if self.encoder is not None:
            return encoded(self.encoder, texts, "judge.encoder")
        return pooled(self.model.policy, texts)


def novelty(question: str, response: str) -> float:
    """Return the share of the trigrams of a response that stand neither earlier in it nor in the question.

    >>> novelty("Where does the fox live?", "Where does the fox live?"), novelty("Where?", "It lives in the wood.")
    (0.0, 1.0)
    """
    seen, grams = set(_trigrams(question)), _trigrams(response)
    return len({*grams} - seen) / len(grams) if grams else 1.0


def _trigrams(text: str) -> list[tuple[str, ...]]:
    sequence = words(text)
    return [*zip(sequence, sequence[1:], sequence[2:], strict=False)]


def _question(one: Asked) -> str:
    asked = [turn for turn in one.prompt if turn["role"] == "user"]
    return str(asked[-1].get("content") or "") if asked else ""


def _aim(one: Asked, is_open: bool) -> str:
    """The text that responses are compared with."""
    reference = one.meta.get("reference")
    return reference if not is_open and isinstance(reference, str) and reference.strip() else _question(one)
