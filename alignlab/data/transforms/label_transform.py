"""Replaces the labels of a list: by its scores, by who beats whom, or by the margins of reward models."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from alignlab.data.reading.rows import Drop
from alignlab.data.tables.lists import flipped
from alignlab.data.transforms.bradley_terry import fitted
from alignlab.data.transforms.margins import ends
from alignlab.data.transforms.strengths import strengths_of
from alignlab.errors import DataError, one_of
from alignlab.settings import NonNegative, PositiveNumber, Share
from alignlab.types import Example

LEAST = 1e-3
"""The smallest gap of labels that a margin makes, since equal labels are no pair."""
FORMS = ("minmax", "rank", "win_rate", "bradley_terry", "strength", "raw")


def label_transform(
    example: Example,
    *,
    to: str = "minmax",
    by: str = "labels",
    temperature: PositiveNumber | None = None,
    prior: PositiveNumber = 1.0,
    weak: str = "flip",
    below: NonNegative = 0.0,
    alpha: Share = 0.1,
    margin: bool = False,
) -> Iterator[Example]:
    """Replace the labels of the row by a function of its scores, which are labels or rewards, as `by` says.

    minmax         the lowest score to 0, the highest to 1
    rank           even steps from 1 for the best to 0 for the worst; equals share a step
    win_rate       share of the others that a response beats; a tie counts half
    raw            the raw scores of the source (rewards) themselves, on their own scale
    bradley_terry  sigmoid(strength), the chance to beat an average response: strengths fitted to the same
                   wins, one game a pair, and `prior` drawn games of each against strength 0

    With a `temperature` response i has sigmoid((score_i - score_j) / temperature) of a win over j, not a whole one.

    strength       labels as they are, but for weak preferences: those whose margin is below `below`. It is the
                   mean of meta["margins"], the margins of several reward models (best response minus
                   worst), or else the gap of the scores. `weak` says what becomes of them: flip (the labels
                   of the best and the worst change places), drop, smooth (they move toward each other by
                   the share `alpha`: 1 and 0 become 1 - alpha and alpha) or keep. With `margin` the best label then
                   is the worst plus the size of the mean margin (0.001 at least; of what is smoothed or kept below
                   0, that), by which objective=bt_margin lets chosen lead. meta["strength_mean"] and
                   meta["strength_std"] remember the margin, meta["flipped"] the flip (arXiv:2401.06080).

    Drops rows of one response or of equal scores, and rows without the scores asked for. Raises DataError for
    meta["margins"] that are no list of numbers.
    """
    one_of("pipeline.label_transform.to", to, FORMS)
    one_of("pipeline.label_transform.by", by, ("labels", "rewards"))
    one_of("pipeline.label_transform.weak", weak, ("flip", "drop", "smooth", "keep"))
    scores = example.labels if by == "labels" and to != "raw" else example.rewards
    if scores is None:
        raise Drop("no raw scores (rewards)")
    if len(scores) < 2:
        raise Drop("one response has no rank")
    if to == "strength":
        row = _strength(example, scores, weak, below, alpha)
        yield _spread(row, turned=ends(row) != ends(example)) if margin else row
        return
    if len(set(scores)) == 1:
        raise Drop("all responses have the same score")
    yield replace(example, labels=_labels(scores, to, temperature, prior))


def won(scores: Sequence[float], temperature: float | None = None) -> list[list[float]]:
    """A matrix whose entry [i][j] says how much of a win response i has over j: a tie is half a win, the diagonal 0.

    >>> won([3.0, 1.0, 1.0])
    [[0.0, 1.0, 1.0], [0.0, 0.0, 0.5], [0.0, 0.5, 0.0]]
    """
    wins = [[_win(score - other, temperature) for other in scores] for score in scores]
    return [[0.0 if i == j else win for j, win in enumerate(row)] for i, row in enumerate(wins)]


def _win(gap: float, temperature: float | None) -> float:
    if temperature is None:
        return 0.5 * ((gap > 0) + (gap >= 0))
    return 0.5 * (1 + math.tanh(gap / temperature / 2))


def _labels(scores: Sequence[float], to: str, temperature: float | None, prior: float) -> list[float]:
    if to == "raw":
        return [*scores]
    if to == "minmax":
        low, high = min(scores), max(scores)
        return [(score - low) / (high - low) for score in scores]
    if to == "rank":
        steps = sorted(set(scores))
        return [steps.index(score) / (len(steps) - 1) for score in scores]
    wins = won(scores, temperature)
    if to == "win_rate":
        return [sum(row) / (len(row) - 1) for row in wins]
    return [0.5 * (1 + math.tanh(theta / 2)) for theta in fitted(wins, prior=prior)]


def _strength(example: Example, scores: Sequence[float], weak: str, below: float, alpha: float) -> Example:
    best, worst = ends(example)
    if best == worst:
        raise Drop("all responses have the same label")
    margins = example.meta.get("margins", [scores[best] - scores[worst]])
    if not isinstance(margins, list) or not margins or not all(map(_is_finite, margins)):
        raise DataError(
            f"row {example.id}: meta.margins is {margins!r}, not a list of numbers, one a reward model"
        )
    strengths = strengths_of([margins], flip_below=below, alpha=alpha)
    is_weak = bool(strengths.flip[0])
    if is_weak and weak == "drop":
        raise Drop(f"preference strength below {below:g}")
    meta = {"strength_mean": float(strengths.mean[0]), "strength_std": float(strengths.std[0])}
    row = replace(example, meta={"flipped": False, **example.meta, **meta})
    labels = list(example.labels)
    high, low = labels[best], labels[worst]
    if is_weak and weak == "flip":
        labels[best], labels[worst] = low, high
        return flipped(row, labels)
    if is_weak and weak == "smooth":
        share = float(strengths.alpha[0])
        labels[best], labels[worst] = high - share * (high - low), low + share * (high - low)
    return replace(row, labels=labels)


def _spread(example: Example, *, turned: bool) -> Example:
    """The row with its best label above its worst by the mean margin, which counts the other way where it `turned`."""
    best, worst = ends(example)
    mean: float = example.meta["strength_mean"]
    labels = list(example.labels)
    labels[best] = labels[worst] + max(-mean if turned else mean, LEAST)
    return replace(example, labels=labels)


def _is_finite(value: object) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)
