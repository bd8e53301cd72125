"""The scores of a reward model on the validation rows of its run: calibration, histograms, reward against length."""

from collections.abc import Mapping, Sequence
from itertools import permutations
from pathlib import Path
from typing import Any

from alignlab.report.figures import COLOURS, PALE, finish, picture, size
from alignlab.runs.folder import MISTAKES, VALIDATION_SCORES, RunFolder

BINS, GROUPS = 40, 8


def scored_stage(folder: RunFolder) -> RunFolder:
    """The folder of the last stage that left scores; the run's own where there are no stages."""
    stages = sorted(folder.path.glob(f"stages/*/{VALIDATION_SCORES}"))
    return RunFolder(stages[-1].parent) if stages else folder


def plot_scores(folder: RunFolder) -> list[Path]:
    """Draw the scores of chosen and rejected responses, the leads of chosen, and scores against lengths.

    Gives the files; none for a run that scores by log-probabilities.
    """
    if not (lists := scored_stage(folder).read_lines(VALIDATION_SCORES)):
        return []
    leads = margins(lists)
    files = [folder.plots / f"{name}.png" for name in ("scores", "leads", "score_by_length")]
    _draw_scores(lists, files[0])
    if leads:
        _draw_leads(leads, files[1])
    _draw_lengths(lists, files[2])
    return [file for file in files if file.is_file()]


def margins(lists: Sequence[Mapping[str, Any]]) -> list[float]:
    """By how much the better response leads, over all strictly ordered pairs of the lists."""
    found = []
    for one in lists:
        scores, labels, leads = one["scores"], one["labels"], one.get("leads")
        for i, j in permutations(range(len(labels)), 2):
            if labels[i] > labels[j]:
                found.append(leads[i][j] if leads else scores[i] - scores[j])
    return found


def calibration_lines(folder: RunFolder) -> list[list[str]]:
    """The calibration of the scores as lines of a table; none without ordered pairs, or for log-probabilities."""
    lists = scored_stage(folder).read_lines(VALIDATION_SCORES)
    if not (leads := margins(lists)):
        return []
    import torch

    from alignlab.metrics import calibration

    values = torch.tensor(leads, dtype=torch.float64)
    temperature = calibration.fitted_temperature(values)
    right = ((values.sign() + 1) / 2).mean()
    lines = [
        ["ordered pairs", f"{len(leads):,}"],
        ["accuracy", f"{right:.4f}"],
        ["ECE, both orders, 10 bins", f"{calibration.both_orders(values).ece:.4f}"],
        ["Brier score", f"{calibration.brier(values).mean():.4f}"],
        ["negative log-likelihood, nats", f"{calibration.nll(values).mean():.4f}"],
        ["temperature of the best fit", f"{temperature:.4g}"],
    ]
    if 0 < temperature < float("inf"):
        fitted = values / temperature
        lines += [
            ["ECE at that temperature", f"{calibration.both_orders(fitted).ece:.4f}"],
            ["Brier score at that temperature", f"{calibration.brier(fitted).mean():.4f}"],
        ]
    return lines


def mistakes(folder: RunFolder) -> list[dict[str, Any]]:
    """The worst mistakes of a run's last stage, the widest first."""
    return scored_stage(folder).read_lines(MISTAKES)


def _draw_scores(lists: Sequence[Mapping[str, Any]], file: Path) -> None:
    sides: dict[str, list[float]] = {"chosen (best of its list)": [], "rejected (worst)": [], "others": []}
    chosen, rejected, others = sides.values()
    for one in lists:
        best, worst = max(one["labels"]), min(one["labels"])
        for score, label in zip(one["scores"], one["labels"], strict=True):
            side = others if best == worst or worst < label < best else chosen if label == best else rejected
            side.append(score)
    every = [score for side in sides.values() for score in side]
    with picture(file, size([*sides])) as axes:
        for (name, values), colour in zip(sides.items(), (COLOURS[2], COLOURS[1], PALE), strict=True):
            if values:
                look = {"color": colour, "lw": 1.8, "label": name, "histtype": "step"}
                axes.hist(values, bins=BINS, range=(min(every), max(every)), **look)
        finish(axes, x="score of a validation response", y="responses")


def _draw_leads(leads: Sequence[float], file: Path) -> None:
    with picture(file, size(["a"])) as axes:
        axes.hist(leads, bins=BINS, color=COLOURS[0])
        axes.axvline(0, color="black", lw=0.8, label="left of it: ranked wrongly")
        finish(axes, x="score of the better response less that of the worse", y="ordered pairs")


def _draw_lengths(lists: Sequence[Mapping[str, Any]], file: Path) -> None:
    import numpy as np

    lengths, scores = (np.concatenate([one[name] for one in lists]) for name in ("lengths", "scores"))
    order = np.argsort(lengths, kind="stable")
    groups = [group for group in np.array_split(order, GROUPS) if len(group)]
    with picture(file, size(["a", "b"])) as axes:
        axes.scatter(lengths, scores, s=9, color=COLOURS[0], alpha=0.3, linewidths=0, label="a response")
        middles = ([float(np.median(values[group])) for group in groups] for values in (lengths, scores))
        axes.plot(*middles, "o-", color=COLOURS[4], lw=2, ms=5, label="medians of equal groups")
        finish(axes, x="length of a validation response, tokens", y="score")
