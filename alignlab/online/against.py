"""Drawn responses against the best response that the data have to the same prompt, as in SPIN, arXiv:2401.01335."""

from dataclasses import replace

import numpy as np

from alignlab.data.encoding.token_rows import TokenRows
from alignlab.judges.worth import lines_of
from alignlab.online.listed import Listed


class Against:
    """The labelling of responses that are rejected for what the data have: nobody is asked, and each has label 0.

    `rows` are those that gave the prompts. A response that is the data's own, token for token, leaves the list.
    """

    name = "rejected, against the best response of the data"
    compares = False

    def __init__(self, rows: TokenRows) -> None:
        self.rows = rows

    def __call__(self, one: Listed) -> Listed:
        """Return the list with what stays of it, or with the reason for which nothing does."""
        best = self.rows.responses[self.rows.members[one.row][_best(self.rows, one.row)]]
        drawn = enumerate(one.rollout.responses)
        kept = tuple(place for place, ids in drawn if not np.array_equal(ids, best))
        if not kept:
            return one.without("the response of the data")
        return replace(one, kept=kept, labels=(0.0,) * len(kept))


def with_best(one: Listed, rows: TokenRows) -> Listed:
    """Return a list with the best response of the row that gave its prompt behind the drawn ones, with label 1."""
    place, drawn = _best(rows, one.row), one.rollout
    ids = rows.responses[rows.members[one.row][place]]
    best = rows.examples[int(rows.places[one.row])].responses[place]
    text = best if isinstance(best, str) else lines_of(best)
    rollout = replace(
        drawn,
        responses=(*drawn.responses, ids),
        token_logps=(*drawn.token_logps, np.zeros(len(ids), dtype=np.float32)),
        finished=(*drawn.finished, True),
    )
    return replace(
        one,
        rollout=rollout,
        texts=(*one.texts, text),
        kept=(*one.kept, len(drawn.responses)),
        labels=(*one.labels, 1.0),
        told={},  # nobody drew it
    )


def _best(rows: TokenRows, row: int) -> int:
    """The place of the best response of a row's list, the first of equals."""
    return int(np.argmax(rows.labels[row]))
