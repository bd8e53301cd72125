"""The pictures of a run, from the history of its metrics."""

import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from alignlab.report.figures import COLOURS, LINES, finish, picture, size
from alignlab.runs.record import History, Record, Series

SPLITS = {"train": "training", "val": "validation", "online": "drawn"}
SMOOTH_FROM, WINDOW_SHARE, MOST_LINES = 40, 25, len(COLOURS)
EXACT = {"lr", "memory_mb", "gpu_memory_mb", "tokens_per_second", "nonfinite"}
"""Metrics that are what they are at each step: rates, counts and maxima, of which a mean over steps says nothing."""


class Plot(NamedTuple):
    """One picture: its name, the label of its vertical axis, and its metrics without their split."""

    name: str
    label: str
    topics: Sequence[str]
    splits: Sequence[str] = tuple(SPLITS)


PLOTS = (
    Plot("loss", "loss", ["loss"]),
    Plot("rewards", "implicit reward, {unit}", ["rewards/chosen", "rewards/rejected"]),
    Plot("margin", "implicit reward margin, {unit}", ["rewards/margin"]),
    Plot("accuracy", "share of pairs ranked right", ["rewards/accuracy", "ranking_accuracy"]),
    Plot("logps", "log-probability of a response, nats", ["logps/chosen", "logps/rejected"]),
    Plot("lengths", "length of the data's responses, tokens", ["lengths/chosen", "lengths/rejected"]),
    Plot("logratio", "log-ratio to the reference on the data's responses, nats", ["logratio"]),
    Plot("kl", "exact KL to the reference, at the data's responses, nats", ["kl_exact"]),
    Plot("logratio_k3", "k3 of the log-ratio on the data's responses, nats", ["logratio_k3"]),
    Plot(
        "displacement",
        "change of log-probability since the start, nats",
        ["logps_change/chosen", "logps_change/rejected"],
    ),
    Plot("calibration", "calibration error", ["calibration/ece", "calibration/brier"]),
    Plot("length_correlation", "correlation of reward and length", ["length_correlation"]),
    Plot(
        "lists", "agreement with the order of the labels", ["lists/ndcg", "lists/kendall_tau", "lists/top1"]
    ),
    Plot("drawn_reward", "reward of drawn responses, by the judge", ["reward", "best", "gold"], ["online"]),
    Plot("drawn_kl", "mean log-ratio of drawn responses to the reference, nats", ["kl"], ["online"]),
    Plot("drawn_variety", "share of drawn responses, or words", ["finished", "distinct_2"], ["online"]),
    Plot("drawn_length", "length of drawn responses, tokens", ["length"], ["online"]),
    Plot("drawn_entropy", "entropy of drawn tokens, nats", ["entropy"], ["online"]),
    Plot("drawn_seconds", "seconds of a draw", ["seconds/all", "seconds/draw", "seconds/judge"], ["online"]),
    Plot("gradient_norm", "norm of the gradient, before clipping", ["gradient_norm"]),
    Plot("memory", "peak memory, MiB", ["memory_mb", "gpu_memory_mb"], ["train"]),
    Plot("lr", "learning rate", ["lr"]),
    Plot("tokens_per_second", "tokens a second", ["tokens_per_second"], ["train"]),
)
"""The pictures that every run is asked for first.

Other metrics are drawn together by the first part of their names, but slices (`<what>/<slice>/<metric>`) by what is
sliced and the metric.

>>> [group_of(topic) for topic in ("loss/sft", "gap/high/rewards/accuracy", "memory")]
['loss', 'gap rewards/accuracy', 'memory']
"""


def plot_run(run: Record, folder: Path) -> list[Path]:
    """Draw one png a topic: training as thin lines (bold: their centred mean), validation as dots; gives the files."""
    history, starts = run.history, run.stage_starts
    files = []
    for plot in plots_of(history, run.reward_unit):
        file = folder / f"{plot.name}.png"
        names = [f"{split} {topic}" for topic in plot.topics for split in SPLITS.values()]
        with picture(file, size([*names, *(["next stage"] if starts else [])])) as axes:
            _draw(axes, plot, history)
            for start in starts:
                axes.axvline(
                    start, color="grey", lw=0.8, ls=":", label="next stage" if start == starts[0] else None
                )
            finish(axes, x="optimizer steps", y=plot.label, whole_x=True)
        files.append(file)
    return files


def plots_of(history: History, unit: str = "nats") -> Iterator[Plot]:
    """The pictures that a history has numbers for: `PLOTS` first, then groups of all that is left.

    `unit` is the unit of the implicit rewards.
    """
    for plot in _plots(history):
        yield plot._replace(label=plot.label.replace("{unit}", unit))


def _plots(history: History) -> Iterator[Plot]:
    topics = list(
        dict.fromkeys(name.partition("/")[2] for name in history if name.partition("/")[0] in SPLITS)
    )
    for plot in PLOTS:
        if known := [topic for topic in plot.topics if topic in topics]:
            yield plot._replace(topics=known)
    drawn = {topic for plot in PLOTS for topic in plot.topics}
    parts = [topic for topic in topics if topic.startswith("loss/")]
    drawn |= set(parts) if len(parts) == 1 else set()  # the loss itself, or a multiple of it
    groups: dict[str, list[str]] = {}
    for topic in topics:
        if topic not in drawn:
            groups.setdefault(group_of(topic), []).append(topic)
    taken = {plot.name for plot in PLOTS}
    for group, members in groups.items():
        for part, start in enumerate(range(0, len(members), MOST_LINES)):
            name = f"{group}_parts" if group in taken else re.sub(r"\W+", "_", group)
            label = _label(group, members)
            yield Plot(f"{name}_{part + 1}" if part else name, label, members[start : start + MOST_LINES])


def group_of(topic: str) -> str:
    """The name of the group of metrics that one is drawn together with."""
    what, _, rest = topic.partition("/")
    metric = rest.partition("/")[2]
    return f"{what} {metric}" if metric else what


def _label(group: str, members: Sequence[str]) -> str:
    """The label of the axis of a group: that of the metric itself, for slices of a known one."""
    what, _, metric = group.partition(" ")
    known = next((plot.label for plot in PLOTS if metric in plot.topics), metric)
    return f"{known}, by {what}" if metric else members[0] if len(members) == 1 else group


def _draw(axes: Any, plot: Plot, history: History) -> None:
    stepped = [split for split in ("train", "online") if split in plot.splits]
    for topic, colour, line in zip(plot.topics, COLOURS, LINES * 2, strict=False):
        for split in (split for split in stepped if f"{split}/{topic}" in history):
            steps, values = history[f"{split}/{topic}"]
            smooth = len(values) >= SMOOTH_FROM and topic not in EXACT
            label = None if smooth else f"{SPLITS[split]} {topic}"
            axes.plot(
                *thinned(steps, values), line, color=colour, lw=1, alpha=0.3 if smooth else 0.6, label=label
            )
            if smooth:
                mean = centred(steps, values, max(5, len(values) // WINDOW_SHARE | 1))
                axes.plot(*thinned(*mean), line, color=colour, lw=1.5, label=f"{SPLITS[split]} {topic}")
        if f"val/{topic}" in history and "val" in plot.splits:
            label = f"{SPLITS['val']} {topic}"
            axes.plot(*history[f"val/{topic}"], line, color=colour, lw=2, marker="o", label=label)


def centred(steps: list[int], values: list[float], window: int) -> Series:
    """The mean of each value with as many before it as behind it, `window` (an odd number) in all, at its step.

    Steps too near to the ends for a whole window have none. Values that are not finite are left out of the means.

    >>> centred([1, 2, 3, 4], [1.0, 3.0, 8.0, 4.0], 3)
    ([2, 3], [4.0, 5.0])
    """
    finite = np.isfinite(values)
    totals = (np.cumsum([0.0, *x]) for x in (np.where(finite, values, 0.0), finite))
    sums, counts = (total[window:] - total[:-window] for total in totals)
    means = np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)
    half = window // 2
    return steps[half : len(steps) - half], means.tolist()


def thinned(steps: list[int], values: list[float], chunks: int = 1000) -> Series:
    """The lowest and highest value of each chunk of a series: more points than a picture has columns, no spike lost.

    >>> thinned([1, 2, 3, 4, 5, 6], [0.0, 9.0, 1.0, 2.0, 0.5, 1.0], chunks=2)
    ([1, 2, 4, 5], [0.0, 9.0, 2.0, 0.5])
    """
    if len(values) <= 2 * chunks:
        return steps, values
    size = -(-len(values) // chunks)
    ends = (
        {least(range(at, min(at + size, len(values))), key=values.__getitem__) for least in (min, max)}
        for at in range(0, len(values), size)
    )
    places = sorted(itertools.chain.from_iterable(ends))
    return [steps[i] for i in places], [values[i] for i in places]
