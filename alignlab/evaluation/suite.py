"""What a suite is: a function from a subject, the model that is evaluated, to a result with intervals."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from alignlab.types import Example, Message
from alignlab.uncertainty import Estimate, share

MISTAKES = 12
"""The largest number of wrong rows that a result shows as text."""


@dataclass(frozen=True)
class ScoredList:
    """A list of responses with the scores that the subject gives them."""

    id: str
    prompt: Sequence[Message]
    responses: Sequence[str]
    """The text of each response."""
    labels: Sequence[float]
    """Which response is better: larger is better."""
    scores: Sequence[float]
    """What the subject makes of each response: a reward model's value, or an implicit reward."""
    meta: Mapping[str, Any] = field(default_factory=dict)
    """What the data know of the row beside."""

    @property
    def wins(self) -> bool:
        """Whether the first response, the better one of a pair, has the strictly higher score."""
        return self.scores[0] > max(self.scores[1:])


Require = Callable[[Iterable[Example]], None]
"""Raises DataError where rows cannot serve a suite."""


@runtime_checkable
class Subject(Protocol):
    """A model under evaluation, and what a suite may ask of it."""

    def scored(self, overrides: Sequence[str] = (), require: Require | None = None) -> list[ScoredList]:
        """Return all rows of the data that these overrides choose, best responses first, each with its score.

        What the user typed comes behind the overrides, and wins. `require` looks at the rows before a model is loaded,
        and may raise. Scores are kept on disk by content, so that a pass that was cut short goes on where it stood.
        """


@dataclass(frozen=True)
class Line:
    """A line of a result's table: a part of the suite, what the subject reaches there, and what a coin would."""

    name: str
    estimate: Estimate
    chance: float | None = None
    total: bool = False
    """Whether the line sums up others."""


@dataclass(frozen=True)
class Mistake:
    """A response that the subject scores above a better one, as text."""

    id: str
    part: str
    prompt: Sequence[Message]
    better: str
    preferred: str
    """The response that the subject prefers."""
    gap: float
    """The score of the preferred response less that of the better one."""


@dataclass(frozen=True)
class Result:
    """The result of a suite; its last line is what the suite as a whole comes to."""

    title: str
    lines: Sequence[Line]
    axis: str
    """What the numbers are, for the axis of the picture."""
    rows: Sequence[Mapping[str, Any]]
    """A record for each row that was scored, in the order of the data."""
    mistakes: Sequence[Mistake] = ()
    notes: Sequence[str] = ()
    """What a reader has to know of these numbers."""


def accuracy(lists: Sequence[ScoredList], *, ties: float = 0.0) -> Estimate:
    """Return the share of lists whose first response has the highest score; a tie at the top counts `ties`."""
    right = [1.0 if one.wins else ties * (one.scores[0] == max(one.scores[1:])) for one in lists]
    return share(right, [1.0] * len(right))


def mistakes_in(parts: Mapping[str, Iterable[ScoredList]]) -> list[Mistake]:
    """Return the worst mistakes over all parts: a response above the first one of its list, the widest gap first."""
    wrong = []
    for part, lists in parts.items():
        for one in lists:
            best, *others = one.scores
            worst = max(range(len(others)), key=others.__getitem__)
            if (gap := others[worst] - best) > 0:
                text = one.responses[1 + worst]
                wrong.append(Mistake(one.id, part, one.prompt, one.responses[0], text, gap))
    return sorted(wrong, key=lambda mistake: -mistake.gap)[:MISTAKES]


def records(parts: Mapping[str, Iterable[ScoredList]]) -> list[dict[str, Any]]:
    """Return a record for each list: its part, its id, its scores, and whether the first response wins."""
    return [
        {"part": part, "id": one.id, "scores": [*one.scores], "right": one.wins}
        for part, lists in parts.items()
        for one in lists
    ]


def by_meta(lists: Iterable[ScoredList], key: str) -> dict[str, list[ScoredList]]:
    """Return the lists by an entry of their `meta`, in the order in which its values first come."""
    parts: dict[str, list[ScoredList]] = {}
    for one in lists:
        parts.setdefault(str(one.meta[key]), []).append(one)
    return parts
