"""The settings of an objective: the schema of conf/objective, and the choices that its keys have."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

PairChoice = Literal["best_worst", "best_rest", "adjacent", "all"]
Reduction = Literal["mean", "sum"]
Form = Literal["lists", "pairs", "single"]
TermKind = Literal["additive", "offset"]
"""How a regularizer acts: its weighted value is added to the loss, or it shifts each response's log-ratio before."""
ABOUT = ("title", "paper", "ranges", "notes")
"""Keys of a choice's yaml that describe it (`card.py`) and set nothing."""

ABOUT = ("title", "paper", "ranges", "notes")
"""Keys of a choice's yaml that describe it (`card.py`) and set nothing."""


@dataclass(frozen=True)
class ObjectiveSettings:
    """One loss, which pairs of a list it sees, and how its values are reduced: conf/objective."""

    name: str
    loss: Callable[..., Any]
    pairs: PairChoice = "best_worst"
    reduction: Reduction = "mean"
    form: Form | Literal[""] = ""
    implicit_reward: str = "sum"
    title: str = ""
    paper: str | None = None
    """The number of its paper on arXiv."""
    modifiers: Mapping[str, Any] = field(default_factory=dict)
    """Modifiers that are part of the objective: the inner ones, where a run adds others."""
    ranges: Mapping[str, Any] = field(default_factory=dict)
    """By hyper-parameter: low and high, or the words to choose from."""
    notes: Mapping[str, Any] = field(default_factory=dict)
    """By hyper-parameter: what it does."""
