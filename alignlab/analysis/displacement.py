"""Likelihood displacement of a run: which probabilities fell, which tokens gained, whether refusals grew."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from matplotlib.axes import Axes
from torch import Tensor

from alignlab.analysis.result import (
    CHOSEN,
    OTHER,
    REJECTED,
    Analysis,
    legend,
    panels,
    require_logps,
    require_pairs,
    require_reference,
)
from alignlab.analysis.scored import Scored
from alignlab.metrics.displacement import Mass, displaced, top_gaining
from alignlab.uncertainty import Estimate, mean_over_rows, share

SHOWN = 12
"""The largest number of gaining tokens; those that gained less than a hundredth of the first are left out."""


@dataclass(frozen=True)
class Evidence:
    """The token probabilities before and after training, and the refusal rates, for the analysis of displacement."""

    before: Mass
    after: Mass
    token: Callable[[int], str]
    """Returns the text of a token id."""
    refusals: Mapping[str, Estimate]
    """The share of responses that refuse, by the name of the model that wrote them."""


def displacement(rows: Scored, evidence: Evidence) -> Analysis:
    """Likelihood displacement (arXiv:2410.08847): changes of log-probabilities, gaining tokens, refusal rates, push.

    The push compares derivatives of the DPO loss by the probabilities of rejected and chosen: their ratio is
    -p(chosen) / p(rejected) (arXiv:2406.07327), whose log is the log-probability margin. Raises DataError
    without pairs or without a reference.
    """
    require_pairs(rows)
    logps, ref_logps = require_logps(rows, "displacement"), require_reference(rows, "displacement")
    change = logps - ref_logps
    chosen, rejected = (rows.ends.take(change, side) for side in ("chosen", "rejected"))
    fell = displaced(chosen, rejected)
    push = [rows.gaps(values).median().item() for values in (ref_logps, logps)]
    lines = [
        ("pairs, best against worst", f"{len(chosen):,}"),
        ("change of log-prob of chosen, nats", mean_over_rows(chosen.tolist()).text("+.3f")),
        ("change of log-prob of rejected, nats", mean_over_rows(rejected.tolist()).text("+.3f")),
        (
            "displaced (chosen fell, margin grew)",
            share(fell.double().tolist(), [1.0] * len(fell)).text(),
        ),
        (
            "log of push on rejected over pull on chosen, median: before / after",
            " / ".join(f"{x:+.2f}" for x in push),
        ),
        ("positions of chosen responses", f"{evidence.after.positions:,}"),
        (
            "probability of the data's own token: before / after",
            f"{evidence.before.own:.4f} / {evidence.after.own:.4f}",
        ),
    ]
    gain = evidence.after.others - evidence.before.others
    winners = top_gaining(evidence.before, evidence.after, SHOWN).tolist()
    winners = [token for token in winners if gain[token] > gain[winners[0]] / 100]
    lines += [
        (
            f"gaining token {place}: {evidence.token(token)!r}",
            f"{evidence.before.others[token]:.3g} -> {evidence.after.others[token]:.3g}",
        )
        for place, token in enumerate(winners, start=1)
    ]
    lines += [(f"refusals, {whose}", refusing.text()) for whose, refusing in evidence.refusals.items()]
    figure, (left, right) = panels()
    _changes(left, chosen, rejected, fell)
    _gains(right, [(evidence.token(token), gain[token].item()) for token in winners])
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
