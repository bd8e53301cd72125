"""A picture of a loss: its value and its gradient along moves of the responses, in nats."""

from pathlib import Path
from textwrap import fill
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from alignlab.analysis.loss_curves import TOKENS, along, pair_matrix, reach
from alignlab.objective.card import Card, as_yaml
from alignlab.objective.objective import Objective

PAIR, LIST = [1.0, 0.0], [1.0, 2 / 3, 1 / 3, 0.0]
PLACES = (1 / 6, -1 / 6, 1 / 3, 0.0)
"""Where the responses of a list stand, best first, as shares of the range: the third leads, wrongly."""
COLOURS = ("#1b7f5f", "#7fb069", "#e0a030", "#b23a48")
POINTS = 401


def draw(card: Card, objective: Objective, hyper: dict[str, Any], picture: Path) -> None:
    """Two panels, as the form of the loss asks for."""
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    panels = {"single": _draw_single, "lists": _draw_list}.get(card.family, _draw_pair)
    what = (
        "log-ratio"
        if card.references or card.group == "modifiers"
        else f"log-probability (from {-TOKENS} nats)"
    )
    far = reach(objective, [0.5, -0.5], PAIR)
    panels(objective, far if what == "log-ratio" else min(far, float(TOKENS)), what, left, right)
    settings = {h.name: hyper.get(h.name, h.default) for h in card.hyper}
    title = card.name if card.group == "objective" else f"dpo under {card.name}"
    words = ", ".join(f"{key}={as_yaml(value)}" for key, value in settings.items())
    figure.suptitle(fill(f"{title}   {words}", 100, drop_whitespace=False), fontsize=11)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, dpi=130)


def _draw_pair(objective: Objective, far: float, what: str, left: Axes, right: Axes) -> None:
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


def _draw_single(objective: Objective, far: float, what: str, left: Axes, right: Axes) -> None:
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


def _draw_list(objective: Objective, far: float, what: str, left: Axes, right: Axes) -> None:
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
