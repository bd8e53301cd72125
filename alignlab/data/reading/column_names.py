"""What columns are called elsewhere, for errors that offer the mapping to type."""

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

ELSEWHERE: Mapping[str, tuple[str, ...]] = {
    "prompt": ("question", "instruction", "query", "input", "user", "user_input", "request", "text", "post"),
    "chosen": (
        *("chosen_response", "response_chosen", "chosen_answer", "accept", "accepted", "better", "preferred"),
        *("winner", "win", "positive", "pos", "good", "y_w", "response_j", "answer_chosen"),
    ),
    "rejected": (
        *("rejected_response", "response_rejected", "rejected_answer", "reject", "worse", "dispreferred"),
        *("loser", "lose", "negative", "neg", "bad", "y_l", "response_k", "answer_rejected"),
    ),
    "responses": ("answers", "outputs", "candidates", "generations", "completions", "options"),
    "labels": ("scores", "ratings"),
    "messages": ("conversations", "conversation", "dialogue", "turns"),
    "completion": ("response", "output", "answer", "generation", "reply"),
    "label": ("kto_tag", "desirable", "is_desirable", "thumbs_up", "preference", "rating", "score"),
}
"""Names of the same in data sets that people bring, by our name; the first that a row has is offered."""


def offered(name: str, columns: Iterable[str]) -> str:
    """The column that may stand for `name`: one known to be called so elsewhere, else the nearest; or an empty text.

    >>> offered("chosen", ["accept", "reject"]), offered("chosen", ["chosn"]), offered("chosen", ["a"])
    ('accept', 'chosn', '')
    """
    there = [*columns]
    known = [other for other in ELSEWHERE.get(name, ()) if other in there]
    return next(iter([*known, *get_close_matches(name, there, n=1, cutoff=0.6)]), "")


def mapping(names: Iterable[str], columns: Iterable[str]) -> str:
    """The setting to type so that columns of a file stand for `names`; `...` where none is near.

    >>> print(mapping(["chosen", "rejected"], ["accept", "my reject"]))
    'data.columns={chosen: accept, rejected: "my reject"}'
    """
    there = [*columns]
    near = {name: offered(name, there) for name in names}
    pairs = [f"{name}: {_written(other) if other else '...'}" for name, other in near.items()]
    return "'data.columns={" + ", ".join(pairs) + "}'"


def _written(name: str) -> str:
    """A column's name as Hydra reads it, which a column of a csv file may lack."""
    return name if re.fullmatch(r"[\w\-/.]+", name, re.ASCII) else f'"{name}"'


def written(columns: Iterable[Any]) -> str:
    """Columns as a list that Hydra reads, for a setting to type."""
    return "[" + ",".join(_written(str(name)) for name in columns) + "]"
