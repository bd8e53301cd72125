"""Over-optimization (arXiv:2210.10760): what the judge rewards, and the exact reward beside it, against the KL."""

from pathlib import Path

from alignlab.report.figures import COLOURS, finish, picture, size
from alignlab.report.plots import centred
from alignlab.runs.record import Record

WINDOW = 5
"""The number of steps that each point is a mean of."""
JUDGE, GOLD, KL = "online/reward", "online/gold", "online/kl"


def plot_over_optimization(run: Record, folder: Path) -> Path | None:
    """Draw both rewards of drawn responses, each as its rise since the start in its own units, against the KL.

    Gives the file; None of a run whose judge is no stand-in for an exact reward, or which is shorter than two points.
    """
    history = run.history
    if not {JUDGE, GOLD, KL} <= history.keys() or len(history[KL][0]) <= WINDOW:
        return None
    kl = centred(*history[KL], WINDOW)[1]
    file = folder / "over_optimization.png"
    names = ("reward of the judge", "exact reward")
    with picture(file, size(names)) as axes:
        for name, metric, colour, mark in zip(names, (JUDGE, GOLD), COLOURS, ("s-", "o-"), strict=False):
            values = centred(*history[metric], WINDOW)[1]
            rise = [value - values[0] for value in values]
            axes.plot(kl, rise, mark, color=colour, lw=1.2, ms=3, label=name)
        finish(
            axes, x="KL of drawn responses to the reference, nats", y="rise since the start, in units of each"
        )
    return file
