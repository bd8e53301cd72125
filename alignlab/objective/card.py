"""Cards of objectives, regularizers and modifiers: all that their yaml, docstring and signature say of them.

Title, paper, ranges and notes of hyper-parameters stand in the yaml, the formula in the docstring of the function
(the paragraph after its first line), the signals in the function's signature, and what an objective reduces to in
the table of reductions. Nothing is written twice.
"""

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from alignlab.errors import ConfigError, nearest
from alignlab.objective.load import build_term, load_objective, read_choice
from alignlab.objective.objective import Objective
from alignlab.objective.reductions import REDUCTIONS, Reduction
from alignlab.objective.settings import ABOUT, LABELS
from alignlab.objective.term import Term
from alignlab.places import choices
from alignlab.settings import AnyNumber, marks_of, words_of
from alignlab.signatures import hint_of
from alignlab.targets import locate

GROUPS = ("objective", "regularizers", "modifiers")
REPORTS = "Reports `"
POLICY_GRADIENT = ".policy_gradient."
"""What stands in the dotted paths of policy gradients."""
FAMILIES = {
    "pairs": "Pairs, with a reference",
    "free": "Pairs, without a reference",
    "single": "Single responses",
    "lists": "Lists",
    "policy_gradient": "Policy gradients on drawn lists",
    "values": "Reward models, classifiers and rerankers (policy= of a head of its own)",
    "regularizers": "Regularizers",
    "modifiers": "Modifiers",
}


@dataclass(frozen=True)
class Hyper:
    """A hyper-parameter of an objective, regularizer or modifier: its default, its sensible values, and its meaning."""

    name: str
    default: Any
    range: tuple[Any, ...]
    """The lowest and the highest sensible number, or the words to choose from; empty where the yaml names none."""
    note: str
    allowed: str = ""
    """The numbers beyond which it has no meaning, in words; empty for what is no number."""

    @property
    def values(self) -> str:
        """The sensible values as text.

        >>> Hyper("beta", 0.1, (0.01, 0.5), "").values, Hyper("nll", "sum", ("sum", "none"), "").values
        ('0.01 - 0.5', 'sum | none')
        """
        if isinstance(self.default, bool):
            return "true | false"
        if any(isinstance(value, str) for value in self.range):
            return " | ".join(self.range)
        return " - ".join(f"{value:f}".rstrip("0").rstrip(".") for value in self.range)


@dataclass(frozen=True)
class Card:
    """The card of one objective, regularizer or modifier."""

    group: str
    name: str
    title: str
    paper: str | None
    """The arXiv number of the paper; None where there is no paper."""
    target: str
    """The dotted path of the loss. Modifiers of the objective's own yaml stand before it, joined by ` of `."""
    formula: str
    notes: tuple[str, ...]
    """The paragraphs of the docstring after the formula."""
    reports: tuple[tuple[str, str], ...]
    """What is reported beside the loss: the first part of the names of the metrics, and the names with meanings."""
    reduces: tuple[str, ...]
    """Sentences that name other objectives which this one equals, and at what settings."""
    signals: tuple[str, ...]
    hyper: tuple[Hyper, ...]
    family: str
    """The family of an objective, which is a key of FAMILIES."""
    form: str
    """The least that an objective needs of the data (lists, pairs or single); empty for other groups."""
    labels: str
    """What an objective takes of labels, in words; empty for other groups."""
    references: int
    """The number of reference models that an objective takes at least, at its defaults."""


def cards(group: str) -> Iterator[Card]:
    """Yield the card of every choice of a config group, in the order of names."""
    return (read_card(group, name) for name in choices(group))


def find_card(name: str) -> Card:
    """Return the card of a name, an objective's before others; `modifiers.wpo` names the group too.

    Raises ConfigError with the nearest name.
    """
    group, _, rest = name.rpartition(".")
    for known in [group] if group in GROUPS else GROUPS:
        if rest in choices(known):
            return read_card(known, rest)
    everything = [choice for known in GROUPS for choice in choices(known)]
    raise ConfigError(f"no objective, regularizer or modifier '{name}': {nearest(rest, everything)}")


def read_card(group: str, name: str) -> Card:
    """Read the card of one choice of a config group from its yaml and its code."""
    node = read_choice(group, name)
    if group != "objective":
        node = node[name]
        nodes, terms = {name: node}, [build_term(name, node, f"{group}.{name}")]
        objective = None
    else:
        objective = load_objective(name)
        nodes = dict(reversed(node.get("modifiers", {}).items()))
        terms = [*reversed(objective.modifiers), objective.loss]
    parts = [*nodes.values(), *([node["loss"]] if objective else [])]
    docstrings = [read_docstring(locate(part["_target_"])) for part in parts]
    return Card(
        group=group,
        name=name,
        title=node.get("title") or docstrings[0].title.removesuffix("."),
        paper=node.get("paper"),
        target=" of ".join(part["_target_"] for part in parts),
        formula="; loss = ".join(doc.formula.removesuffix(".") for doc in docstrings if doc.formula),
        notes=tuple(note for doc in docstrings for note in doc.notes),
        reports=tuple(
            (term, doc.reports) for term, doc in zip([*nodes, name], docstrings, strict=False) if doc.reports
        ),
        reduces=tuple(map(in_words, (r for r in REDUCTIONS if name == r.name != r.other)))
        if objective
        else (),
        signals=tuple(dict.fromkeys(signal for term in terms for signal in _signals(term))),
        hyper=tuple(_hyper(node, reversed(parts))),
        family=group if objective is None else _family(objective, node["loss"]["_target_"]),
        form=objective.data_form if objective else "",
        labels=LABELS[objective.labels] if objective else "",
        references=objective.needs_reference + objective.needs_other_references if objective else 0,
    )


@dataclass(frozen=True)
class Docstring:
    """The parts of a docstring: its first line, the formula after that, and the other paragraphs.

    A paragraph that begins with "Reports `name`" says what a term reports.
    """

    title: str
    formula: str
    notes: tuple[str, ...]
    reports: str = ""


def read_docstring(function: object) -> Docstring:
    """Read the docstring of a function, each paragraph on one line, without examples and errors.

    >>> read_docstring(read_docstring).notes
    ()
    """
    paragraphs = [" ".join(part.split()) for part in (inspect.getdoc(function) or "").split("\n\n")]
    title, formula, *notes = [p for p in paragraphs if not p.startswith((">>>", "Raises "))] + ["", ""]
    reports = " ".join(note.removeprefix("Reports ") for note in notes if note.startswith(REPORTS))
    return Docstring(title, formula, tuple(n for n in notes if n and not n.startswith(REPORTS)), reports)


def in_words(reduction: Reduction) -> str:
    """Return a reduction in words.

    >>> in_words(Reduction("r_dpo", {"alpha": 0.0}, "dpo"))
    'with alpha = 0 it is `dpo`'
    """
    own, other = _settings(reduction.hyper), _settings(reduction.other_hyper)
    parts = [
        f"with {own}" if own else "",
        "it is",
        f"{reduction.factor:.4g} times" if reduction.factor != 1 else "",
        f"`{reduction.other}`",
        f"with {other}" if other else "",
        f"where {reduction.where}" if reduction.where else "",
    ]
    return " ".join(part for part in parts if part)


def as_yaml(value: Any) -> str:
    """Return a setting as it is typed on the command line.

    >>> as_yaml(None), as_yaml(True), as_yaml(1.0)
    ('null', 'true', '1.0')
    """
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _settings(hyper: Mapping[str, Any], path: str = "") -> str:
    """Return settings as `key = value`, with dotted keys for nested ones."""
    texts = []
    for key, value in hyper.items():
        if isinstance(value, Mapping):
            texts.append(_settings(value, f"{path}{key}."))
        else:
            shown = f"{value:.4g}" if isinstance(value, float) else as_yaml(value)
            texts.append(f"{path}{key} = {shown}")
    return ", ".join(texts)


def _family(objective: Objective, target: str) -> str:
    if objective.reward.scores:
        return "values"
    if POLICY_GRADIENT in target:
        return "policy_gradient"
    if objective.data_form == "single":
        return "single"
    if not objective.is_pairwise:
        return "lists"
    return "pairs" if objective.needs_reference else "free"


def _signals(term: Term) -> tuple[str, ...]:
    """Return the signals that a term takes, and those that it contributes to the statistics of a step."""
    return (*term.contract.signals, *(term.contribution.signals if term.contribution else ()))


def _hyper(node: Mapping[str, Any], parts: Iterator[Mapping[str, Any]]) -> Iterator[Hyper]:
    """Yield every hyper-parameter of the parts, with its range and its note in the yaml."""
    ranges, notes = node.get("ranges", {}), node.get("notes", {})
    for part in parts:
        parameters = inspect.signature(locate(part["_target_"])).parameters
        for name, default in part.items():
            if name not in ("_target_", "kind", *ABOUT):
                hint = hint_of(parameters[name]) if name in parameters else AnyNumber
                allowed = words_of(hint) if marks_of(hint) else ""
                yield Hyper(name, default, tuple(ranges.get(name, ())), notes.get(name, ""), allowed)
