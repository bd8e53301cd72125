"""The settings of an objective: the schema of conf/objective, and the choices that its keys have."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

PairChoice = Literal["best_worst", "best_rest", "adjacent", "first_round", "tournament", "all"]
Reduction = Literal["mean", "sum"]
Form = Literal["lists", "pairs", "single"]
LabelScale = Literal["order", "differences", "unit", "desirable"]
"""What an objective takes of labels: their order alone; their differences, on any scale; their values, which belong
into [0, 1]; or whether they are high, which for a lone response means above 0.5 on the scale from 0 to 1, and else
above the middle of its list."""
TermKind = Literal["additive", "offset"]
"""How a regularizer acts: `additive` adds its weighted value to the loss, `offset` shifts each response's log-ratio."""
LABELS = {
    "order": "their order alone",
    "differences": "differences, on any scale",
    "unit": "values in [0, 1]",
    "desirable": "high or low, those of lone responses in [0, 1]",
}
"""What an objective takes of labels, in words."""
ABOUT = ("title", "paper", "ranges", "notes")
"""The keys of a choice's yaml that describe it (`card.py`) and set nothing."""


@dataclass(frozen=True)
class ObjectiveSettings:
    """The schema of conf/objective: one loss, the pairs of a list that it sees, and the reduction of its values."""

    name: str
    loss: Callable[..., Any]
    pairs: PairChoice = "best_worst"
    reduction: Reduction = "mean"
    form: Form | Literal[""] = ""
    implicit_reward: str = "sum"
    labels: LabelScale = "order"
    title: str = ""
    paper: str | None = None
    """The arXiv number of the paper."""
    modifiers: Mapping[str, Any] = field(default_factory=dict)
    """The modifiers that are part of the objective; modifiers that a run adds go around them."""
    ranges: Mapping[str, Any] = field(default_factory=dict)
    """The sensible range of each hyper-parameter: low and high, or the words to choose from."""
    notes: Mapping[str, Any] = field(default_factory=dict)
    """The meaning of each hyper-parameter, in words."""
