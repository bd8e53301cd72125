"""Preferences without a best response: each opening beats one other and loses to a third."""

from collections.abc import Sequence

from alignlab.lab.grammar import ASPECTS
from alignlab.lab.reading import statements

MOVES = {name: place % 3 for place, name in enumerate(ASPECTS)}
"""color and hour are move 0, food and skill 1, home and fear 2. Move m beats m + 1, counted modulo 3."""


def move(response: str) -> int | None:
    """The move of the first statement of a response; None where it states nothing.

    >>> move("I hope this helps. The fox eats mice.")
    1
    """
    aspects = (aspect for _, aspect, _ in statements(response, "it") if aspect)
    return MOVES.get(next(aspects, ""))


def win(one: str, other: str) -> float:
    """What `one` wins against `other`: 1, 0, or 1/2 of equals. Whoever makes no move loses to those who do.

    No policy beats the one that draws its move evenly: against it all win half.

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


def win_rates(responses: Sequence[str]) -> list[float]:
    """What each response wins against the others of its list, on average."""
    total = len(responses) - 1
    return [(sum(win(one, other) for other in responses) - 0.5) / total for one in responses]
