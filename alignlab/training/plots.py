"""Pictures of a run, from its metrics.csv."""

import csv
from pathlib import Path

PLOTS = {
    "loss": ("loss", ["loss"]),
    "rewards": ("implicit reward, nats", ["rewards/chosen", "rewards/rejected"]),
    "margin": ("implicit reward margin, nats", ["rewards/margin"]),
    "accuracy": ("share of pairs", ["rewards/accuracy", "ranking_accuracy"]),
    "logps": ("log-probability of a response, nats", ["logps/chosen", "logps/rejected"]),
    "lengths": ("response length, tokens", ["lengths/chosen", "lengths/rejected"]),
    "kl": ("on the data's responses, nats", ["kl", "kl_exact"]),
}
COLOURS = ["#0072B2", "#D55E00"]
"""Told apart by colour-blind eyes too."""

Series = tuple[list[int], list[float]]


def plot_run(metrics: Path, folder: Path) -> list[Path]:
    """One png a topic: training as thin lines, validation as dots. Topics never logged are left out."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    columns = read_columns(metrics)
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for name, (label, topics) in PLOTS.items():
        if not any(f"{split}/{topic}" in columns for split in ("train", "val") for topic in topics):
            continue
        figure, axes = plt.subplots(figsize=(6.4, 4), layout="constrained")
        for topic, colour in zip(topics, COLOURS, strict=False):
            if f"train/{topic}" in columns:
                axes.plot(*columns[f"train/{topic}"], color=colour, lw=1, alpha=0.6, label=f"train {topic}")
            if f"val/{topic}" in columns:
                axes.plot(
                    *columns[f"val/{topic}"], color=colour, lw=2, marker="o", label=f"validation {topic}"
                )
        axes.set(xlabel="optimizer step", ylabel=label)
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
        made.append(folder / f"{name}.png")
        figure.savefig(made[-1], dpi=120)
        plt.close(figure)
    return made


def read_columns(metrics: Path) -> dict[str, Series]:
    """Each metric as (steps, values), leaving out the steps where it was not reported."""
    columns: dict[str, Series] = {}
    with metrics.open(newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            for name, value in row.items():
                if name != "step" and value:
                    steps, values = columns.setdefault(name, ([], []))
                    steps.append(int(row["step"]))
                    values.append(float(value))
    return columns
