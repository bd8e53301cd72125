"""One number a response from what judges say, whichever form that has."""

from collections.abc import Sequence

from alignlab.judges.judge import Judged

Score = float | None
"""The score of one response; None without a verdict."""


def scores_of(judged: Judged) -> tuple[Score, ...] | None:
    """Return the rewards, or the mean probability with which each response is better than the others.

    None where the judge says nothing of the list.

    >>> scores_of(Judged(preferences=((0.5, 0.9), (0.1, 0.5))))
    (0.9, 0.1)
    """
    if judged.unsaid is not None:
        return None
    if judged.rewards is not None:
        return judged.rewards
    if judged.preferences is None:
        return None
    rows = [[*row[:i], *row[i + 1 :]] for i, row in enumerate(judged.preferences)]
    return tuple(_mean([value for value in row if value is not None]) for row in rows)


def table(size: int, first_wins: dict[tuple[int, int], Score]) -> tuple[tuple[Score, ...], ...]:
    """Return preferences `[K, K]` from those of pairs i < j; pairs that are missing have none.

    >>> table(2, {(0, 1): 0.75})
    ((0.5, 0.75), (0.25, 0.5))
    """
    rows: list[list[Score]] = [[0.5 if i == j else None for j in range(size)] for i in range(size)]
    for (i, j), value in first_wins.items():
        rows[i][j], rows[j][i] = value, None if value is None else 1 - value
    return tuple(map(tuple, rows))


def _mean(values: Sequence[float]) -> Score:
    return sum(values) / len(values) if values else None
