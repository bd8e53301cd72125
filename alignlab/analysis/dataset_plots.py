"""Pictures of a data set: histograms of lengths in tokens, of labels, and of list sizes."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from alignlab.data.encoding.token_rows import Array
from alignlab.data.statistics import Statistics

PROMPT, RESPONSE, GAP = "#3b6fb6", "#1b7f5f", "#e0a030"
BINS, FEW = 40, 20
"""Bars of a histogram; whole numbers that spread over fewer values than `FEW` have a bar each."""


def plot_lengths(file: Path, figures: Statistics) -> None:
    """Histograms of prompts, responses, and of how much longer the best response is."""
    panels = [
        Panel("prompt, tokens", "lists", figures.prompts, PROMPT),
        Panel("response, tokens", "responses", figures.responses, RESPONSE),
        Panel("best less worst response, tokens", "lists", figures.longer, GAP),
    ]
    _histograms(file, panels)


def plot_labels(file: Path, figures: Statistics) -> None:
    """Histograms of labels, gaps, and list sizes."""
    panels = [
        Panel("label", "responses", figures.labels, RESPONSE),
        Panel("label gap, best less worst", "lists", figures.gaps, GAP),
        Panel("responses of a list", "lists", figures.sizes, PROMPT),
    ]
    _histograms(file, panels)


class Panel(NamedTuple):
    """One histogram: what is counted, of what."""

    name: str
    counted: str
    values: Array
    colour: str


def _histograms(file: Path, panels: list[Panel]) -> None:
    figure = Figure(figsize=(4.2 * len(panels), 3.2), layout="constrained")
    for axis, panel in zip(figure.subplots(1, len(panels)), panels, strict=True):
        values = panel.values
        few = len(values) > 0 and np.issubdtype(values.dtype, np.integer) and np.ptp(values) < FEW
        bins = np.arange(values.min() - 0.5, values.max() + 1) if few else BINS
        axis.hist(values, bins=bins, color=panel.colour, rwidth=0.8 if few else None)
        if few:
            axis.set_xlim(values.min() - 1, values.max() + 1)
            axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.set_xlabel(panel.name)
        axis.set_ylabel(panel.counted)
        axis.spines[["top", "right"]].set_visible(False)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=120)
