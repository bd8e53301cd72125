"""Likelihood displacement of a run: what fell, to which tokens it went, whether refusals grew: arXiv:2410.08847."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from matplotlib.axes import Axes
from torch import Tensor

from alignlab.analysis.result import (
    CHOSEN,
    OTHER,
    REJECTED,
    Analysis,
    legend,
    panels,
    require_pairs,
    require_reference,
)
from alignlab.analysis.scored import Scored
from alignlab.metrics import intervals
from alignlab.metrics.displacement import Mass, displaced, top_gaining
from alignlab.metrics.intervals import Estimate

SHOWN = 12
"""Tokens; those that gained less than a hundredth of what the first one did are left out."""


@dataclass(frozen=True)
class Seen:
    """Measurements beside log-probabilities that an analysis of displacement shows."""

    before: Mass
    after: Mass
    token: Callable[[int], str]
    """The text of a token."""
    refusals: Mapping[str, Estimate]
    """Share of responses that refuse, by whose they are."""


def displacement(rows: Scored, seen: Seen) -> Analysis:
    """Changes of log-probabilities since the reference, top gaining tokens, refusal rates, and the push on both sides.

    The push: derivatives of the DPO loss by the probabilities of rejected and chosen have the ratio
    -p(chosen) / p(rejected) (arXiv:2406.07327), whose log is the log-probability margin.
    """
    require_pairs(rows)
    ref_logps = require_reference(rows, "displacement")
    change = rows.logps - ref_logps
    chosen, rejected = (rows.ends.take(change, side) for side in ("chosen", "rejected"))
    fell = displaced(chosen, rejected)
    push = [rows.gaps(values).median().item() for values in (ref_logps, rows.logps)]
    lines = [
        ("pairs, best against worst", f"{len(chosen):,}"),
        ("change of log-prob of chosen, nats", intervals.mean(chosen).text("+.3f")),
        ("change of log-prob of rejected, nats", intervals.mean(rejected).text("+.3f")),
        (
            "displaced (chosen fell, margin grew)",
            intervals.share(fell.double(), torch.ones_like(chosen)).text(),
        ),
        (
            "log of push on rejected over pull on chosen, median: before / after",
            " / ".join(f"{x:+.2f}" for x in push),
        ),
        ("positions of chosen responses", f"{seen.after.positions:,}"),
        (
            "probability of the data's own token: before / after",
            f"{seen.before.own:.4f} / {seen.after.own:.4f}",
        ),
    ]
    gain = seen.after.others - seen.before.others
    winners = top_gaining(seen.before, seen.after, SHOWN).tolist()
    winners = [token for token in winners if gain[token] > gain[winners[0]] / 100]
    lines += [
        (
            f"gaining token {place}: {seen.token(token)!r}",
            f"{seen.before.others[token]:.3g} -> {seen.after.others[token]:.3g}",
        )
        for place, token in enumerate(winners, start=1)
    ]
    lines += [(f"refusals, {whose}", share.text()) for whose, share in seen.refusals.items()]
    figure, (left, right) = panels()
    _changes(left, chosen, rejected, fell)
    _gains(right, [(seen.token(token), gain[token].item()) for token in winners])
    return Analysis("displacement: value [95 % interval]", lines, figure)


def _changes(axes: Axes, chosen: Tensor, rejected: Tensor, fell: Tensor) -> None:
    size = 9 + 16 * min(1.0, 150 / len(chosen))
    for mask, name, colour, mark in ((~fell, "other pairs", OTHER, "o"), (fell, "displaced", REJECTED, "x")):
        axes.scatter(
            rejected[mask].tolist(),
            chosen[mask].tolist(),
            s=size,
            color=colour,
            marker=mark,
            alpha=0.6,
            label=name,
        )
    axes.axline((0, 0), slope=1, color="grey", lw=0.8, ls=":", label="margin unchanged")
    axes.axhline(0, color="grey", lw=0.6)
    axes.axvline(0, color="grey", lw=0.6)
    axes.set(xlabel="change of log-prob of rejected, nats", ylabel="change of log-prob of chosen, nats")
    legend(axes)


def _gains(axes: Axes, winners: list[tuple[str, float]]) -> None:
    axes.barh(range(len(winners)), [gain for _, gain in winners], color=CHOSEN)
    axes.set_yticks(range(len(winners)), [repr(name) for name, _ in winners])
    axes.invert_yaxis()
    axes.set(xlabel="gain of mean probability where the data has another token", ylabel="token")
