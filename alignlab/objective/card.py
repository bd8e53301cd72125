"""What a choice of conf/objective, conf/regularizers or conf/modifiers says of itself.

The name, the paper and the hyper-parameters stand in its yaml, the formula in the docstring of its function, the
signals in the function's signature. Nothing is written twice.
"""

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from alignlab.errors import ConfigError, nearest
from alignlab.objective.load import build_term, load_objective, read_choice
from alignlab.objective.objective import Objective
from alignlab.objective.term import Term
from alignlab.places import CONF, choices
from alignlab.targets import locate

GROUPS = ("objective", "regularizers", "modifiers")
FAMILIES = {
    "pairs": "Pairs, with a reference",
    "free": "Pairs, without a reference",
    "single": "Single responses",
    "lists": "Lists",
    "regularizers": "Regularizers",
    "modifiers": "Modifiers",
}


@dataclass(frozen=True)
class Hyper:
    """One hyper-parameter: its default, the values that make sense, and what it is."""

    name: str
    default: Any
    range: str
    """`low - high`, or the choices, with ` | ` between them."""
    note: str


@dataclass(frozen=True)
class Card:
    """One objective, regularizer or modifier."""

    group: str
    name: str
    title: str
    """What it is, the paper included."""
    papers: tuple[str, ...]
    """arXiv numbers."""
    target: str
    formula: str
    notes: tuple[str, ...]
    """The rest of the docstring, by paragraph."""
    reduces: tuple[str, ...]
    """Those of its clauses that say when it is another objective."""
    signals: tuple[str, ...]
    hyper: tuple[Hyper, ...]
    family: str
    """A key of FAMILIES."""
    form: str
    """The least that an objective needs of the data: lists, pairs or single; empty for other groups."""
    references: int
    """How many reference models it takes, at the defaults."""


def cards(group: str) -> Iterator[Card]:
    """Every card of a group, by name."""
    return (read_card(group, name) for name in choices(group))


def find_card(name: str) -> Card:
    """The card of that name, an objective's first; `modifiers.wpo` names the group too.

    Raises ConfigError with the nearest name.
    """
    group, _, rest = name.rpartition(".")
    for known in [group] if group in GROUPS else GROUPS:
        if rest in choices(known):
            return read_card(known, rest)
    everything = [choice for known in GROUPS for choice in choices(known)]
    raise ConfigError(f"no objective, regularizer or modifier '{name}': {nearest(rest, everything)}")


def read_card(group: str, name: str) -> Card:
    """The card of one choice."""
    text = (CONF / group / f"{name}.yaml").read_text(encoding="utf-8")
    title = " ".join(line.removeprefix("# ") for line in _leading_comments(text))
    node = read_choice(group, name)
    loss = node["loss"] if group == "objective" else node[name]
    objective = load_objective(name) if group == "objective" else None
    term = objective.loss if objective else build_term(name, loss, f"{group}.{name}")
    formula, notes = _read_docstring(inspect.getdoc(locate(loss["_target_"])) or "")
    family = group if objective is None else _family(objective)
    return Card(
        group=group,
        name=name,
        title=title,
        papers=tuple(re.findall(r"arXiv:(\d{4}\.\d{5})", title)),
        target=loss["_target_"],
        formula=formula,
        notes=notes,
        reduces=tuple(_reductions(". ".join((formula, *notes)))),
        signals=_signals(term),
        hyper=tuple(_read_hyper(text, loss)),
        family=family,
        form=objective.data_form if objective else "",
        references=objective.needs_reference + objective.needs_second_reference if objective else 0,
    )


def as_yaml(value: Any) -> str:
    """A setting as it is typed.

    >>> as_yaml(None), as_yaml(True), as_yaml(1.0)
    ('null', 'true', '1.0')
    """
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _family(objective: Objective) -> str:
    if objective.data_form == "single":
        return "single"
    if not objective.is_pairwise:
        return "lists"
    return "pairs" if objective.needs_reference else "free"


def _signals(term: Term) -> tuple[str, ...]:
    """What its signature asks for, and what it brings to the statistics of a step."""
    contribution = term.contribution.signals if term.contribution else ()
    return tuple(dict.fromkeys((*term.contract.signals, *contribution)))


def _leading_comments(text: str) -> Iterator[str]:
    for line in text.splitlines():
        if not line.startswith("#"):
            return
        yield line


def _read_hyper(text: str, loss: dict[str, Any]) -> Iterator[Hyper]:
    """Every key of the loss with its comment: `# range; note`, where either may be missing.

    >>> list(_read_hyper("loss:\\n  beta: 0.1  # 0.01 - 0.5; of the pair", {"beta": 0.1}))
    [Hyper(name='beta', default=0.1, range='0.01 - 0.5', note='of the pair')]
    """
    for name, default in loss.items():
        if name in ("_target_", "kind"):
            continue
        line = re.search(rf"^  {name}: [^#\n]*(?:# (.*))?$", text, re.MULTILINE)
        comment = (line[1] or "") if line else ""
        values, note = (*re.split(r"; (?![^(]*\))", comment, maxsplit=1), "")[:2]
        if " | " not in values and not re.fullmatch(r"-?[\d.]+ - -?[\d.]+", values):
            values, note = "true | false" if isinstance(default, bool) else "", comment
        yield Hyper(name, default, values, note)


def _read_docstring(text: str) -> tuple[str, tuple[str, ...]]:
    """The formula, and what else is said.

    The formula is the first sentence after the title, the definitions (`phi = ...`) that follow it, and the list
    after it where it ends with a colon.
    """
    paragraphs = [part for part in re.split(r"\n\s*\n", text) if not part.startswith((">>>", "Raises "))][1:]
    if not paragraphs:
        return "", ()
    first, *rest = (_joined(part) for part in paragraphs)
    formula, *notes = re.split(r"(?<=\.) (?!\w+ = )", first, maxsplit=1)
    if formula.endswith(":") and rest:
        formula, rest = f"{formula} {rest[0]}", rest[1:]
    return formula.removesuffix("."), (*notes, *rest)


def _reductions(text: str) -> Iterator[str]:
    """The clauses that say that it is another objective.

    >>> list(_reductions("Not convex. With alpha = 0 it is `dpo`; beta is larger than that of `dpo`."))
    ['with alpha = 0 it is `dpo`']
    """
    names = "|".join(choices("objective"))
    for clause in re.split(r"(?<=[.;]) |, and so ", text):
        if re.search(rf"\b(is|it|forms) `({names})`", clause):
            yield clause[0].lower() + clause[1:].rstrip(".;")


def _joined(paragraph: str) -> str:
    """One line; the items of a list after one another."""
    return " ".join(re.sub(r"^- ", "; ", paragraph, flags=re.MULTILINE).split()).removeprefix("; ")
