"""What answers the questions of a judge: one protocol for models in this process and for servers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from alignlab.judges.llm.asking import Question


@dataclass(frozen=True)
class Unanswered:
    """Why there is no answer to one question."""

    reason: str


@dataclass(frozen=True)
class Chosen:
    """The probabilities of labels as the first token of an answer, which sum to 1, and the mass they had together."""

    shares: tuple[float, ...]
    mass: float


@runtime_checkable
class Backend(Protocol):
    """A language model that answers questions, each on its own."""

    @property
    def identity(self) -> str:
        """The model with all that its answers depend on."""

    def choose(self, questions: Sequence[Question]) -> list[Chosen | Unanswered]:
        """Return how probable each label of a question is as its answer."""

    def write(self, questions: Sequence[Question]) -> list[str | Unanswered]:
        """Return the likeliest answers as texts."""


def chosen(probabilities: Sequence[float]) -> Chosen | Unanswered:
    """Return the probabilities of labels as shares of their sum."""
    mass = sum(probabilities)
    if not 0 < mass < float("inf"):
        return Unanswered("no label is probable")
    return Chosen(tuple(value / mass for value in probabilities), min(mass, 1.0))
