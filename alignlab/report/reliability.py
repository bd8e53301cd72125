"""The reliability diagram of a run: before and after, from what its validations left in reliability.jsonl."""

from pathlib import Path
from typing import Any

from alignlab.report.figures import COLOURS, finish, picture, size
from alignlab.runs.folder import RunFolder

FILE = "reliability.jsonl"
AREA = 220.0
"""The area of the mark of a bin that holds all pairs, in square points."""


def plot_reliability(folder: RunFolder) -> Path | None:
    """Draw the share of pairs that came true against the probability that the rewards give.

    Gives the file, None without a validation of pairs. The diagram of several stages is that of the last one, which
    alone goes by its objective.
    """
    stages = sorted(folder.path.glob(f"stages/*/{FILE}"))
    rows = RunFolder(stages[-1].parent if stages else folder.path).read_lines(FILE)
    if not rows:
        return None
    moments = [rows[0], rows[-1]] if len(rows) > 1 else rows
    file = folder.plots / "reliability.png"
    with picture(file, size(["", *map(_name, moments)])) as axes:
        axes.plot([0, 1], [0, 1], color="grey", lw=0.8, ls=":", label="calibrated")
        for row, colour, style in zip(moments, COLOURS[1::-1][-len(moments) :], ("s--", "o-"), strict=False):
            _draw(axes, row, colour, style)
        axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
        finish(axes, x="probability that the rewards give", y="share of pairs that came true")
    return file


def _draw(axes: Any, row: dict[str, Any], colour: str, style: str) -> None:
    marker, line = style[0], style[1:]
    total = sum(row["count"])
    axes.plot(row["predicted"], row["observed"], line, color=colour, lw=1, alpha=0.5)
    areas = [max(12.0, AREA * count / total) for count in row["count"]]
    look: dict[str, Any] = {"color": colour, "marker": marker, "alpha": 0.75, "label": _name(row)}
    axes.scatter(row["predicted"], row["observed"], s=areas, **look)


def _name(row: dict[str, Any]) -> str:
    return f"validation, step {row['step']} (areas: pairs)"
