"""How every picture looks: colours that colour-blind eyes tell apart, no frame, and a file at the end."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from textwrap import fill
from typing import Any

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C6D31")
"""The palette of Okabe and Ito, but for the last colour; their yellow is too pale for a line."""
PALE = "#b8bec4"
"""The colour of what stands in the background."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
LINES = ("-", "--", ":", "-.")
DPI = 120
WIDE = 40
"""Letters of a legend's entry that leave no room for a second column."""
LABEL_WIDTH = 40
"""Letters that an axis has room for."""


def look(i: int) -> dict[str, Any]:
    """Colour, marker and line of the i-th thing drawn; where colours begin anew, each has another marker and line."""
    turn, place = divmod(i, len(COLOURS))
    return {
        "color": COLOURS[place],
        "marker": MARKERS[(place + turn) % len(MARKERS)],
        "linestyle": LINES[turn % len(LINES)],
    }


def size(names: Sequence[str]) -> tuple[float, float]:
    """Width and height, in inches, of a picture with room for these entries in the legend below."""
    return 6.4, 3.8 + 0.22 * -(-len(names) // _columns(names))


def _columns(names: Sequence[str]) -> int:
    """The number of columns of a legend with these entries."""
    return 1 if max(map(len, names), default=0) > WIDE else 2


@contextmanager
def picture(file: Path, inches: tuple[float, float]) -> Iterator[Any]:
    """The axes of a new picture of this size in inches, written to `file` at the end."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    with mpl.rc_context({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False}):
        figure, axes = plt.subplots(figsize=inches, layout="constrained")
        yield axes
        file.parent.mkdir(parents=True, exist_ok=True)
        file.unlink(missing_ok=True)  # a link is replaced, not followed
        figure.savefig(file, dpi=DPI)
        plt.close(figure)


def finish(axes: Any, *, x: str, y: str, whole_x: bool = False) -> None:
    """Give a picture its labels with units, a grid, and the legend below, where it hides nothing."""
    from matplotlib.ticker import MaxNLocator

    axes.set(xlabel=x, ylabel=fill(y, LABEL_WIDTH))
    axes.grid(alpha=0.25)
    if whole_x:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if names := axes.get_legend_handles_labels()[1]:
        axes.figure.legend(frameon=False, fontsize=9, loc="outside lower center", ncols=_columns(names))
