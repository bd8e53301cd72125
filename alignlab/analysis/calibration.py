"""Calibration of a policy: whether sigmoid(reward of i - reward of j) is the probability that i is preferred."""

import torch
from matplotlib.axes import Axes

from alignlab.analysis.result import (
    CHOSEN,
    MARK,
    OTHER,
    Analysis,
    count_pairs,
    legend,
    panels,
    require_pairs,
)
from alignlab.analysis.scored import Scored
from alignlab.analysis.summary import pair_accuracy
from alignlab.metrics import calibration as metrics
from alignlab.metrics.calibration import Bins


def calibration(rows: Scored) -> Analysis:
    """Calibration errors of both forms over all strictly ordered pairs, as trained and at the best temperature."""
    require_pairs(rows)
    margins = rows.margins
    temperature = metrics.fitted_temperature(margins)
    fitted = margins / temperature if 0 < temperature < float("inf") else None
    forms = {
        "ECE, both orders, 10 bins": metrics.both_orders,
        "ECE, confidence, 10 bins": metrics.confidence,
        "ACE, both orders, 10 bins of equal size": metrics.equal_mass,
    }
    lines = [("ordered pairs", f"{len(margins):,}"), ("accuracy", pair_accuracy(rows, margins).text())]
    lines += [(name, f"{form(margins).ece:.4f}") for name, form in forms.items()]
    lines += [
        ("MCE, both orders, 10 bins", f"{metrics.both_orders(margins).mce:.4f}"),
        ("Brier score", f"{metrics.brier(margins).mean():.4f}"),
        ("negative log-likelihood, nats", f"{metrics.nll(margins).mean():.4f}"),
        ("temperature of the best fit", f"{temperature:.4g}"),
    ]
    if fitted is not None:
        lines += [(f"{name}, at that temperature", f"{form(fitted).ece:.4f}") for name, form in forms.items()]
        lines += [("negative log-likelihood at that temperature", f"{metrics.nll(fitted).mean():.4f}")]
    figure, (left, right) = panels()
    left.plot([0, 1], [0, 1], color="grey", lw=0.8)
    _curve(left, metrics.both_orders(margins), "as trained", CHOSEN, "o-")
    if fitted is not None:
        _curve(left, metrics.both_orders(fitted), f"temperature {temperature:.3g}", MARK, "s--")
    left.set(
        xlabel="probability that the rewards give", ylabel="share of pairs that came true", aspect="equal"
    )
    left.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
    legend(left)
    right.hist(margins.tolist(), bins=40, color=OTHER)
    right.axvline(0, color="black", lw=0.8)
    right.set(xlabel=f"reward of chosen less rejected, {rows.reward.unit}")
    count_pairs(right)
    return Analysis("calibration", lines, figure)


def _curve(axes: Axes, bins: Bins, name: str, colour: str, style: str) -> None:
    real = bins.counts > 0
    sizes = torch.stack([bins.predicted[real], bins.observed[real]]).tolist()
    axes.plot(*sizes, style, color=colour, label=name, lw=2, ms=5)
