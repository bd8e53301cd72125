"""List the objectives, or show one: formula, signals, hyper-parameters, and a picture of its loss.

alignlab objectives
alignlab objectives lipo_lambda beta=0.5 out=lambda.png

    beta=0.5 ...    hyper-parameters of what is shown
    out=FILE        the picture; outputs/objectives/<name>.png unless told otherwise

Regularizers and modifiers have cards too (`kl`, `modifiers.wpo`); a modifier is drawn on `dpo`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from alignlab.console import printer
from alignlab.errors import ConfigError
from alignlab.objective.card import FAMILIES, GROUPS, Card, as_yaml, cards, find_card
from alignlab.objective.load import load_objective
from alignlab.objective.objective import Objective
from alignlab.verbs.words import output, read

PICTURES = (".png", ".pdf", ".svg", ".jpg")
KEYS = {"out": output()}


def run(words: Sequence[str]) -> None:
    """Show the card that the first word names, or all cards in a table."""
    console = printer()
    if not words:
        _show_all(console)
        return
    card, typed = find_card(words[0]), read(words[1:], KEYS, overrides=True)
    hyper = dict(map(_setting, typed.overrides))
    if typed.own.out is not None and typed.own.out.suffix not in PICTURES:
        raise ConfigError(f"out={typed.own.out}: expected a picture, {', '.join(PICTURES)}")
    objective = _load(card, hyper)
    _show(console, card, hyper, objective if card.form else None)
    if objective is not None:
        from alignlab.analysis.loss_curves import has_curve
        from alignlab.analysis.loss_plots import draw

        if not has_curve(objective):
            console.print(
                "\nno curve: the loss compares distributions over the vocabulary, not scores of responses"
            )
            return
        picture = typed.own.out or Path("outputs/objectives") / f"{card.name}.png"
        draw(card, objective, hyper, picture)
        console.print(f"\n{picture}")


def _setting(text: str) -> tuple[str, Any]:
    key, _, value = text.partition("=")
    try:
        return key, yaml.safe_load(value)
    except yaml.YAMLError:
        raise ConfigError(f"{text}: the value cannot be read as yaml") from None


def _load(card: Card, hyper: dict[str, Any]) -> Objective | None:
    """Return the objective to be drawn; None for a regularizer, whose hyper-parameters are checked all the same."""
    if card.group == "objective":
        return load_objective(card.name, **hyper)
    objective = load_objective("dpo", **{card.group: {card.name: hyper}})  # type: ignore[arg-type]
    return objective if card.group == "modifiers" else None


def _show_all(console: Console) -> None:
    everything = [card for group in GROUPS for card in cards(group)]
    for family, title in FAMILIES.items():
        table = Table(title=title, title_justify="left", title_style="bold", show_edge=False, pad_edge=False)
        for heading in ("name", "what it is", "hyper-parameters"):
            table.add_column(heading, overflow="fold")
        for card in everything:
            if card.family == family:
                hyper = ", ".join(f"{h.name}={as_yaml(h.default)}" for h in card.hyper)
                table.add_row(card.name, card.title, hyper)
        console.print(table)
        console.print()
    console.print("alignlab objectives NAME shows one of them.")


def _show(console: Console, card: Card, hyper: dict[str, Any], objective: Objective | None) -> None:
    paper = f", arXiv:{card.paper}" if card.paper else ""
    console.print(Text.assemble((card.name, "bold"), f"  {card.title}{paper}\n"), soft_wrap=True)
    console.print(Padding(card.formula, (0, 4)))
    for note in card.notes:
        console.print(Padding(note, (1, 0, 0, 0)))
    console.print()
    facts = {"reduces to": "; ".join(card.reduces)} if card.reduces else {}
    facts |= {"function": card.target, "signals": ", ".join(card.signals) or "of the loss alone"}
    if objective is not None:
        facts |= {
            "data": card.form,
            "labels": card.labels,
            "reference": ("none", "one", "two or more")[card.references],
        }
        if objective.needs_reference:
            facts["first loss"] = _first_loss(objective)
    for term, text in card.reports:
        facts[f"{term}/..."] = f"metrics of its own: {text}"
    for name, text in facts.items():
        console.print(Text.assemble((f"{name:<13}", "dim"), text), soft_wrap=True)
    if not card.hyper:
        return
    table = Table(show_edge=False, pad_edge=False, box=None, header_style="dim")
    for heading in ("hyper-parameter", "value" if hyper else "default", "range", "allowed", ""):
        table.add_column(heading, overflow="fold")
    for h in card.hyper:
        value = Text(as_yaml(hyper[h.name]), "bold") if h.name in hyper else as_yaml(h.default)
        table.add_row(h.name, value, h.values, h.allowed, h.note)
    console.print()
    console.print(table)


def _first_loss(objective: Objective) -> str:
    """Return the loss where policy and reference are one model, in words."""
    import torch

    from alignlab.analysis.loss_curves import along

    labels = torch.linspace(1, 0, 2 if objective.data_form != "lists" else 4).tolist()
    loss = along(objective, torch.zeros(1, len(labels)), labels)[0].item()
    if objective.data_form == "single":
        loss /= len(labels)
    return f"{loss:.4g}, of {'four responses' if len(labels) == 4 else 'a pair'} with labels from 1 to 0"
