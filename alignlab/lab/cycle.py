"""Cyclic preferences, which have no best response: each move beats one other and loses to a third."""

from collections.abc import Sequence

from alignlab.lab.grammar import ASPECTS
from alignlab.lab.reading import statements

MOVES = {name: place % 3 for place, name in enumerate(ASPECTS)}
"""The move of each aspect: color and hour are 0, food and skill 1, home and fear 2. Move m beats m + 1 modulo 3."""


def move(response: str) -> int | None:
    """The move (0, 1 or 2) of the first statement of a response; None where it states nothing.

    >>> move("I hope this helps. The fox eats mice.")
    1
    """
    aspects = (aspect for _, aspect, _ in statements(response, "it") if aspect)
    return MOVES.get(next(aspects, ""))


def win(one: str, other: str) -> float:
    """The win of `one` against `other`: 1, 0, or 1/2 for equal moves; no move loses to every move.

    No policy beats the one that draws its move uniformly: against it every response wins 1/2.

    >>> red, mice, barn = "The fox is red.", "The fox eats mice.", "The fox lives in the barn."
    >>> win(red, mice), win(mice, barn), win(barn, red)
    (1.0, 1.0, 1.0)
    """
    ours, theirs = move(one), move(other)
    if ours == theirs:
        return 0.5
    if ours is None or theirs is None:
        return float(theirs is None)
    return float((theirs - ours) % 3 == 1)


def is_decided(responses: Sequence[str]) -> bool:
    """Whether every response of a list has a move, and their win rates differ."""
    return None not in map(move, responses) and len(set(win_rates(responses))) > 1


def win_rates(responses: Sequence[str]) -> list[float]:
    """The mean win of each response against the others of its list, `[K]`."""
    total = len(responses) - 1
    return [(sum(win(one, other) for other in responses) - 0.5) / total for one in responses]
