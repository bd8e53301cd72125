"""How far to trust a judge: agreement with labels, biases of place and length, calibration, and what it cannot say."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, Protocol, runtime_checkable

import torch

from alignlab.evaluation.suite import Line, Result
from alignlab.judges.judge import Judged
from alignlab.judges.scores import scores_of
from alignlab.metrics.calibration import brier, confidence
from alignlab.uncertainty import Estimate, mean_over_rows, share

MOST_PARTS = 12
"""The largest number of subsets that have a line each."""


@dataclass(frozen=True)
class JudgedList:
    """A list with its labels, and what a judge says of it."""

    id: str
    responses: Sequence[str]
    labels: Sequence[float]
    judged: Judged
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Compared:
    """Two responses of a list, the better one by the labels first."""

    probability: float
    """With which the judge holds the first to be better: 1/2 where it does not decide."""
    longer: bool | None
    """Whether the first is the longer text; None where both are as long."""
    place: float | None
    """The mean probability of whichever stood first when the judge was asked; None where it does not tell."""

    @property
    def right(self) -> float:
        """1 where the judge prefers the better one, 1/2 where neither."""
        return 0.5 if self.probability == 0.5 else float(self.probability > 0.5)

    @property
    def agrees(self) -> float | None:
        """1 where both orders gave the same verdict; None where the judge does not see orders."""
        if self.place is None:
            return None
        first, second = self.place + self.probability - 0.5, self.place - self.probability + 0.5
        return float((first > 0.5) == (second < 0.5))


@runtime_checkable
class JudgeSubject(Protocol):
    """Judges that are evaluated, and the rows that they judged."""

    def judged(self) -> Mapping[str, Sequence[JudgedList]]:
        """Return the lists with each judge's verdicts, by its name."""

    def notes(self) -> list[str]:
        """Return what the work took, in sentences."""


def run(subject: JudgeSubject) -> Result:
    """Compare every judge with the labels of the rows, pair by pair; equal labels say nothing and are left out."""
    lines: list[Line] = []
    records: list[dict[str, Any]] = []
    said = subject.judged()
    for name, lists in said.items():
        lines += _lines(f"{name}: " if len(said) > 1 else "", lists)
        records += [
            {
                "judge": name,
                "id": one.id,
                "labels": [*one.labels],
                "scores": scores_of(one.judged),
                "unsaid": one.judged.unsaid,
            }
            for one in lists
        ]
    return Result(
        f"Judges against {len(next(iter(said.values())))} lists with labels",
        lines,
        "share of pairs (calibration error: a difference of probabilities)",
        records,
        notes=subject.notes(),
    )


def _lines(prefix: str, lists: Sequence[JudgedList]) -> Iterator[Line]:
    """The lines of one judge, its agreement last."""
    pairs = [[*compared(one)] for one in lists]
    parts: dict[str, list[list[Compared]]] = {}
    for one, of_list in zip(lists, pairs, strict=True):
        parts.setdefault(str(one.meta.get("subset", "")), []).append(of_list)
    if 1 < len(parts) <= MOST_PARTS:
        for part, of_part in parts.items():
            yield Line(f"{prefix}{part}", _agreement(of_part), 0.5)
    flat = [pair for of_list in pairs for pair in of_list]
    if votes := [one.meta["votes"] for one in lists if "votes" in one.meta]:
        yield Line(f"{prefix}two people agree", _people(votes))
    if places := [pair.place for pair in flat if pair.place is not None]:
        yield Line(f"{prefix}share of whichever stands first", mean_over_rows(places), 0.5)
        both = [pair.agrees for pair in flat if pair.agrees is not None]
        yield Line(f"{prefix}both orders agree", share(both, [1.0] * len(both)), 1.0)
    lengths = [
        (pair.right if pair.longer else 1 - pair.right, float(pair.longer))
        for pair in flat
        if pair.longer is not None
    ]
    if lengths:
        by_labels = sum(longer for _, longer in lengths) / len(lengths)
        yield Line(
            f"{prefix}prefers the longer",
            share([value for value, _ in lengths], [1.0] * len(lengths)),
            by_labels,
        )
    if flat:
        margins = torch.tensor([_logit(pair.probability) for pair in flat], dtype=torch.float64)
        error = confidence(margins).ece
        yield Line(f"{prefix}calibration error", Estimate(error, math.nan, math.nan, len(flat)))
        yield Line(f"{prefix}Brier score", mean_over_rows(brier(margins).tolist()), 0.25)
    unsaid = [float(one.judged.unsaid is not None) for one in lists]
    yield Line(f"{prefix}without a verdict", share(unsaid, [1.0] * len(unsaid)))
    yield Line(f"{prefix}agreement", _agreement(pairs), 0.5, total=True)


def compared(one: JudgedList) -> Iterator[Compared]:
    """Yield the pairs of a list with different labels of which the judge says something."""
    scores = scores_of(one.judged)
    if scores is None:
        return
    places, table = one.judged.aspects.get("position", (None,) * len(scores)), one.judged.preferences
    for i, j in combinations(range(len(scores)), 2):
        if one.labels[i] == one.labels[j]:
            continue
        best, worst = (i, j) if one.labels[i] > one.labels[j] else (j, i)
        better, worse = scores[best], scores[worst]
        probability = None
        if one.judged.rewards is None and table is not None:
            probability = table[best][worst]
        elif better is not None and worse is not None:
            probability = 0.5 + 0.5 * math.tanh((better - worse) / 2)
        if probability is None:
            continue
        sizes = len(one.responses[best]), len(one.responses[worst])
        place = places[best] if len(scores) == 2 else None
        yield Compared(probability, None if sizes[0] == sizes[1] else sizes[0] > sizes[1], place)


def _agreement(pairs: Sequence[Sequence[Compared]]) -> Estimate:
    return share(
        [sum(pair.right for pair in of_list) for of_list in pairs], [float(len(of_list)) for of_list in pairs]
    )


def _people(votes: Sequence[Sequence[float]]) -> Estimate:
    """How often two people say the same of a pair, where both decide."""
    sums, counts = [], []
    for of_pair in votes:
        both = [(a, b) for a, b in combinations(of_pair, 2) if 0.5 not in (a, b)]
        sums.append(float(sum(a == b for a, b in both)))
        counts.append(float(len(both)))
    return share(sums, counts)


def _logit(probability: float) -> float:
    inside = min(max(probability, 1e-12), 1 - 1e-12)
    return math.log(inside / (1 - inside))
