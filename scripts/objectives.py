"""List the objectives, or show one: formula, signals, hyper-parameters, and a picture of its loss.

python scripts/objectives.py
python scripts/objectives.py lipo_lambda beta=0.5 --out lambda.png

Regularizers and modifiers have cards too (`kl`, `modifiers.wpo`); a modifier is drawn on `dpo`.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from textwrap import fill

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch
import yaml
from matplotlib.axes import Axes
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from alignlab.analysis.loss_curves import TOKENS, along, pair_matrix, reach
from alignlab.errors import AlignlabError, ConfigError
from alignlab.objective.card import FAMILIES, GROUPS, Card, as_yaml, cards, find_card
from alignlab.objective.load import load_objective
from alignlab.objective.objective import Objective

PAIR, LIST = [1.0, 0.0], [1.0, 2 / 3, 1 / 3, 0.0]
PLACES = (1 / 6, -1 / 6, 1 / 3, 0.0)
"""Where the responses of a list stand, best first, as shares of the range: the third leads, wrongly."""
COLOURS = ("#1b7f5f", "#7fb069", "#e0a030", "#b23a48")
POINTS = 401


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "name", nargs="?", help="an objective, regularizer or modifier; without one, all are listed"
    )
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="hyper-parameters")
    parser.add_argument(
        "--out", type=Path, help="the picture; outputs/objectives/<name>.png unless told otherwise"
    )
    chosen = parser.parse_intermixed_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
    try:
        if chosen.name is None:
            show_all(console)
            return
        card = find_card(chosen.name)
        hyper = dict(_read(override) for override in chosen.overrides)
        objective = _load(card, hyper)
    except AlignlabError as error:
        sys.exit(f"error: {error}")
    show(console, card, hyper)
    if objective is not None:
        picture = chosen.out or Path("outputs/objectives") / f"{card.name}.png"
        draw(card, objective, hyper, picture)
        console.print(f"\n{picture}")


def _read(override: str) -> tuple[str, object]:
    key, equals, value = override.partition("=")
    if not equals:
        raise ConfigError(f"'{override}': hyper-parameters are given as key=value")
    return key, yaml.safe_load(value)


def _load(card: Card, hyper: dict) -> Objective | None:
    """What is drawn; of a regularizer nothing is, but its hyper-parameters are checked."""
    if card.group == "objective":
        return load_objective(card.name, **hyper)
    objective = load_objective("dpo", **{card.group: {card.name: hyper}})
    return objective if card.group == "modifiers" else None


def show_all(console: Console) -> None:
    everything = [card for group in GROUPS for card in cards(group)]
    for family, title in FAMILIES.items():
        table = Table(title=title, title_justify="left", title_style="bold", show_edge=False, pad_edge=False)
        for heading in ("name", "what it is", "hyper-parameters"):
            table.add_column(heading, overflow="fold")
        for card in everything:
            if card.family == family:
                hyper = ", ".join(f"{h.name}={as_yaml(h.default)}" for h in card.hyper)
                table.add_row(card.name, escape(card.title), escape(hyper))
        console.print(table)
        console.print()
    console.print("python scripts/objectives.py NAME shows one of them.")


def show(console: Console, card: Card, hyper: dict) -> None:
    paper = f", arXiv:{card.paper}" if card.paper else ""
    console.print(f"[bold]{card.name}[/]  {escape(card.title)}{paper}\n", soft_wrap=True)
    console.print(Padding(escape(card.formula), (0, 4)))
    for note in card.notes:
        console.print(Padding(escape(note), (1, 0, 0, 0)))
    console.print()
    facts = {"reduces to": "; ".join(card.reduces)} if card.reduces else {}
    facts |= {"function": card.target, "signals": ", ".join(card.signals) or "of the loss alone"}
    if card.form:
        facts |= {"data": card.form, "reference": ("none", "one", "two")[card.references]}
    for name, text in facts.items():
        console.print(f"[dim]{name:<12}[/]{escape(text)}", soft_wrap=True)
    if not card.hyper:
        return
    table = Table(show_edge=False, pad_edge=False, box=None, header_style="dim")
    for heading in ("hyper-parameter", "value" if hyper else "default", "range", ""):
        table.add_column(heading, overflow="fold")
    for h in card.hyper:
        value = f"[bold]{as_yaml(hyper[h.name])}[/]" if h.name in hyper else as_yaml(h.default)
        table.add_row(h.name, value, escape(h.values), escape(h.note))
    console.print()
    console.print(table)


def draw(card: Card, objective: Objective, hyper: dict, picture: Path) -> None:
    """Two panels, as the form of the loss asks for."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    panels = {"single": draw_single, "lists": draw_list}.get(card.family, draw_pair)
    what = (
        "log-ratio"
        if card.references or card.group == "modifiers"
        else f"log-probability (from {-TOKENS} nats)"
    )
    far = reach(objective, [0.5, -0.5], PAIR)
    panels(objective, far if what == "log-ratio" else min(far, TOKENS), what, left, right)
    settings = {h.name: hyper.get(h.name, h.default) for h in card.hyper}
    title = card.name if card.group == "objective" else f"dpo under {card.name}"
    words = ", ".join(f"{key}={as_yaml(value)}" for key, value in settings.items())
    figure.suptitle(fill(f"{title}   {words}", 100, drop_whitespace=False), fontsize=11)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, dpi=130)
    plt.close(figure)


def draw_pair(objective: Objective, far: float, what: str, left: Axes, right: Axes) -> None:
    """Loss along three ways to a margin, and the gradient of the one that splits it evenly."""
    margins = torch.linspace(-far, far, POINTS, dtype=torch.float64)
    none = torch.zeros_like(margins)
    ways = {
        "split evenly": ((margins / 2, -margins / 2), COLOURS[0], "-"),
        "by chosen alone": ((margins, none), COLOURS[2], "--"),
        "by rejected alone": ((none, -margins), COLOURS[3], ":"),
    }
    for name, (sides, colour, style) in ways.items():
        losses, gradients = along(objective, torch.stack(sides, dim=1), PAIR)
        left.plot(margins, losses, style, color=colour, label=name, lw=2)
        if name == "split evenly":
            right.plot(margins, gradients[:, 0], "-", color=COLOURS[0], label="by chosen", lw=2)
            right.plot(margins, gradients[:, 1], "--", color=COLOURS[3], label="by rejected", lw=2)
    left.set(title="loss of a pair", xlabel=f"chosen less rejected {what}, nats")
    right.set(title="gradient, margin split evenly", xlabel=f"chosen less rejected {what}, nats")
    _finish(left, right)


def draw_single(objective: Objective, far: float, what: str, left: Axes, right: Axes) -> None:
    """Loss and gradient of a desirable response and of one that is not."""
    moves = torch.linspace(-far, far, POINTS, dtype=torch.float64)[:, None]
    for name, label, colour, style in (
        ("desirable", 1.0, COLOURS[0], "-"),
        ("undesirable", 0.0, COLOURS[3], "--"),
    ):
        losses, gradients = along(objective, moves, [label])
        left.plot(moves, losses, style, color=colour, label=name, lw=2)
        right.plot(moves, gradients, style, color=colour, label=name, lw=2)
    left.set(title="loss of a response", xlabel=f"{what}, nats")
    right.set(title="gradient", xlabel=f"{what}, nats")
    _finish(left, right)


def draw_list(objective: Objective, far: float, what: str, left: Axes, right: Axes) -> None:
    """Loss while one response moves and the others stay, and what the loss sees between any two."""
    places = [share * far for share in PLACES]
    moves = torch.linspace(-far, far, POINTS, dtype=torch.float64)
    for i, (label, colour) in enumerate(zip(LIST, COLOURS, strict=True)):
        paths = torch.tensor(places, dtype=torch.float64).repeat(POINTS, 1)
        paths[:, i] = moves
        left.plot(
            moves, along(objective, paths, LIST)[0], color=colour, label=f"{i + 1} (label {label:.2g})", lw=2
        )
        left.axvline(places[i], color=colour, lw=0.8, alpha=0.5)
    left.set(
        title="loss of a list while one response moves", xlabel=f"its {what}, nats (thin: where it stands)"
    )
    left.legend(frameon=False, fontsize=9, title="response")
    title, matrix = pair_matrix(objective, places, LIST)
    bound = matrix.abs().max().item() or 1.0
    right.imshow(matrix.numpy(), cmap="RdBu_r", vmin=-bound, vmax=bound)
    for i in range(len(LIST)):
        for j in range(len(LIST)):
            value = matrix[i, j].item()
            ink = "white" if abs(value) > 0.6 * bound else "black"
            right.text(
                j, i, f"{value:.2g}" if value else "0", ha="center", va="center", color=ink, fontsize=9
            )
    ticks = [f"{i + 1}\n({place:+.3g})" for i, place in enumerate(places)]
    right.set_xticks(range(len(LIST)), ticks)
    right.set_yticks(range(len(LIST)), [str(i + 1) for i in range(len(LIST))])
    right.set(title=title, xlabel="j, moved by so many nats", ylabel="i")


def _finish(left: Axes, right: Axes) -> None:
    for axes in (left, right):
        axes.axvline(0, color="grey", lw=0.6)
        axes.legend(frameon=False, fontsize=9)
    right.axhline(0, color="grey", lw=0.6)


if __name__ == "__main__":
    main()
