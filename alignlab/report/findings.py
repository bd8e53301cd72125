"""Warnings in words: what the history of a run says that its user should know.

Each function looks for one thing, and gives a sentence with the way out, or None. A history has the metrics of
metrics.csv, and of samples (`gold/...`) the first and the last value.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from statistics import fmean, median

import numpy as np

from alignlab.runs.record import History, Record, Series

Finding = Callable[[History], str | None]


def findings(record: Record) -> list[str]:
    """Every warning about a run; about its last stage where there are several, but for log-probabilities.

    With a stage may come another reference, another objective, other rows: its loss does not go on from the last one's.
    """
    history = {**_moments(record), **record.history}
    if record.stage_starts:
        cut = {name: since(series, record.stage_starts[-1]) for name, series in record.history.items()}
        history |= {name: series for name, series in cut.items() if "/logps/" not in name}
    return [text for look in LOOKED_FOR if (text := look(history)) is not None]


def displacement(history: History, *, nats: float = 5.0, nats_a_token: float = 0.1) -> str | None:
    """The chosen responses became less likely (arXiv:2402.13228, arXiv:2410.08847).

    By more than `nats`, or `nats_a_token` times their length where that is less.
    """
    change = _change(history, "logps/chosen")
    if change is None:
        return None
    length = _end(history, "lengths/chosen")
    bound = nats if length is None else min(nats, nats_a_token * length)
    if change > -bound:
        return None
    rejected = _change(history, "logps/rejected")
    aside = "" if rejected is None else f" (rejected: {rejected:+.1f})"
    return (
        f"chosen log-prob fell by {-change:.1f} nats{aside}: likelihood displacement; "
        "try objective=dpop or regularizers=[sft]"
    )


def length_growth(history: History, *, share: float = 0.25, tokens: float = 2.0) -> str | None:
    """Samples grew longer by more than this share, and this many tokens."""
    start, end = _ends(history, "gold/length")
    if start is None or end is None or end - start <= max(share * start, tokens):
        return None
    return (
        f"samples grew from {start:.1f} to {end:.1f} tokens: is it better, or longer? "
        "Try regularizers=[length], objective=simpo, or objective=r_dpo"
    )


def early_certainty(history: History, *, accuracy: float = 0.995, share: float = 0.25) -> str | None:
    """All pairs are told apart before this share of the steps is done."""
    for split, what in (("val", "validation"), ("train", "training")):
        steps, values = history.get(f"{split}/rewards/accuracy", ([], []))
        if split == "train":  # one step holds few pairs
            steps, values = steps[4:], rolling(values, 5)[4:]
        last = _last_step(history)
        sure = next((s for s, value in zip(steps, values, strict=True) if value >= accuracy), None)
        if sure is not None and sure <= share * last:
            return (
                f"reward accuracy in {what} reached {accuracy:.3g} by step {sure} of {last}: overfitting or leakage "
                "(do chosen and rejected differ by their form, are rows of validation in the training data?); "
                "try fewer steps, a lower optimizer.lr, pipeline=[filter_duplicates]"
            )
    return None


def overfitting(history: History, *, share: float = 0.05) -> str | None:
    """Validation loss rose from its lowest value by more than this share of what had been won."""
    steps, values = history.get("val/loss", ([], []))
    if len(values) < 3:
        return None
    best = min(range(len(values)), key=values.__getitem__)
    won, lost = values[0] - values[best], values[-1] - values[best]
    if won <= 0 or lost <= share * won:
        return None
    return (
        f"validation loss was lowest at step {steps[best]} ({values[best]:.4f}) and rose to {values[-1]:.4f}: "
        "overfitting; keep that model with callbacks.checkpoint.best=val/loss, or try fewer steps"
    )


def no_progress(history: History) -> str | None:
    """Validation loss is not below where it began."""
    start, end = _ends(history, "val/loss")
    if start is None or end is None or end < start or len(history["val/loss"][0]) < 2:
        return None
    return f"validation loss did not fall ({start:.4f} before, {end:.4f} after): try another optimizer.lr or more steps"


def gradient_spikes(history: History, *, times: float = 10.0, steps: int = 8) -> str | None:
    """Some gradient norms are far above their median; asked only of runs with enough steps to have one."""
    at, norms = history.get("train/gradient_norm", ([], []))
    if len(norms) < steps:
        return None
    usual = median(norms)
    spikes = [step for step, norm in zip(at, norms, strict=True) if norm > times * usual > 0]
    if not spikes:
        return None
    shown = ", ".join(map(str, spikes[:5])) + (" and more" if len(spikes) > 5 else "")
    return (
        f"the gradient norm rose to {max(norms):.3g}, {max(norms) / usual:.0f} times its median (steps {shown}): look "
        "at the rows of those steps; try trainer.gradient_clip_val=1.0, a lower optimizer.lr"
    )


def far_away(history: History, *, nats: float = 25.0, nats_a_token: float = 0.5) -> str | None:
    """The policy went far from where it began: the KL of its samples is large, or the exact one on the data."""
    for name, length, what in (
        ("gold/kl", "gold/length", "KL of samples to the start"),
        ("val/kl_exact", "val/lengths/chosen", "exact KL to the reference on the data"),
    ):
        end, tokens = (_ends(history, key)[1] for key in (name, length))
        if end is not None and end > min(nats, math.inf if tokens is None else nats_a_token * tokens):
            way = "a larger beta (or tau) of the objective, regularizers=[kl], or fewer steps"
            return f"{what} is {end:.1f} nats: try {way}"
    return None


def over_optimization(history: History) -> str | None:
    """The reward of samples fell, by more than its uncertainty, while the accuracy on the data rose."""
    start, end = _ends(history, "gold/reward")
    accuracy = _change(history, "rewards/accuracy")
    if start is None or end is None or accuracy is None or accuracy <= 0:
        return None
    bounds = [bound or 0.0 for bound in _ends(history, "gold/reward_ci")]
    if end >= start - math.hypot(*(0.0 if math.isnan(bound) else bound for bound in bounds)):
        return None
    return (
        f"the reward of samples fell from {start:.2f} to {end:.2f} though reward accuracy rose by {accuracy:.2f}: "
        "over-optimization of the data; try a larger beta (or tau) of the objective, fewer steps, or recipe=iterative"
    )


def ties(history: History, *, share: float = 0.2) -> str | None:
    """Many pairs of responses are ties to the policy, or to the data."""
    for name in history:
        if name.rpartition("/")[2] == "ties" and (end := history[name][1][-1]) > share:
            return f"{end:.0%} of the pairs are ties ({name}): they teach nothing; try pipeline=[filter_ties]"
    accuracy, margin = (_ends(history, f"val/rewards/{name}")[1] for name in ("accuracy", "margin"))
    if accuracy == 0.5 and margin is not None and abs(margin) < 1e-6:
        return "all implicit rewards are still ties: the policy did not move; try a higher optimizer.lr or more steps"
    return None


def steps_left_out(history: History) -> str | None:
    """Some steps were left out, since their loss or gradient was not finite."""
    count = history.get("train/nonfinite", ([], [0.0]))[1][-1]
    if count < 1:
        return None
    return f"{count:.0f} steps were left out, since their loss or gradient was not finite: try a lower optimizer.lr"


LOOKED_FOR: tuple[Finding, ...] = (
    displacement,
    length_growth,
    early_certainty,
    overfitting,
    no_progress,
    gradient_spikes,
    far_away,
    over_optimization,
    ties,
    steps_left_out,
)


def since(series: Series, start: int) -> Series:
    """The part of a series after a stage began; of two values at that step, the first is the end of the stage before.

    >>> since(([0, 6, 6, 9], [1.0, 2.0, 3.0, 4.0]), 6)
    ([6, 9], [3.0, 4.0])
    """
    steps, values = series
    first = max(bisect_left(steps, start), bisect_right(steps, start) - 1)
    return steps[first:], values[first:]


def rolling(values: list[float], window: int) -> list[float]:
    """The mean of each value and those before it, over `window` values at most.

    >>> rolling([1.0, 3.0, 5.0], 2)
    [1.0, 2.0, 4.0]
    """
    if not values:
        return []
    sums = np.convolve(values, np.ones(window))[: len(values)]
    means: list[float] = (sums / np.minimum(np.arange(len(values)) + 1, window)).tolist()
    return means


def _moments(record: Record) -> dict[str, Series]:
    """Metrics that only the summary has, at the first and the last step."""
    steps = [0, record.steps]
    both = [name for name in record.final if name in record.initial]
    return {name: (steps, [record.initial[name], record.final[name]]) for name in both}


def _ends(history: History, name: str) -> tuple[float | None, float | None]:
    values = history.get(name, ([], []))[1]
    return (values[0], values[-1]) if values else (None, None)


def _end(history: History, topic: str) -> float | None:
    """The latest value of a metric, in validation or else in training; None where there is none."""
    return next(
        (end for split in ("val", "train") if (end := _ends(history, f"{split}/{topic}")[1]) is not None),
        None,
    )


def _change(history: History, topic: str) -> float | None:
    """The change of a metric over the validations, or else from the first to the last tenth of the training steps."""
    values = history.get(f"val/{topic}", ([], []))[1]
    if len(values) > 1:
        return values[-1] - values[0]
    values = history.get(f"train/{topic}", ([], []))[1]
    tenth = -(-len(values) // 10)
    return fmean(values[-tenth:]) - fmean(values[:tenth]) if len(values) > 1 else None


def _last_step(history: History) -> int:
    return max((steps[-1] for steps, _ in history.values() if steps), default=0)
