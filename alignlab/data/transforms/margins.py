"""Margins between the best and the worst response of a row: in labels, in rewards, under the initial model."""

import numpy as np

from alignlab.data.steps import Array, Tokenized
from alignlab.errors import ConfigError, DataError
from alignlab.types import Example

SCALES = ("labels", "rewards")


def ends(example: Example) -> tuple[int, int]:
    """The places of the best and of the worst response by label; of equals the first."""
    labels = example.labels
    return labels.index(max(labels)), labels.index(min(labels))


def margin(example: Example, scale: str, way_out: str) -> float:
    """The label or reward (`scale` labels | rewards) of the best response minus that of the worst, by label.

    Rewards that disagree with the labels give a margin below 0. Raises DataError for a row without
    rewards; `way_out` is the setting that the error recommends.
    """
    values = example.labels if scale == "labels" else example.rewards
    if values is None:
        raise DataError(f"row {example.id} has no rewards: use {way_out}, or data that keeps its raw scores")
    best, worst = ends(example)
    return values[best] - values[worst]


def reference_margins(tokenized: Tokenized) -> Array:
    """The margins log p(best) - log p(worst) in nats under the model that the run begins with, `[rows]`.

    They are no ratios to another model, so that they can rank data before training
    (arXiv:2403.19270; the negative is the difficulty c of arXiv:2405.19534).

    Raises DataError for a row in which no response is worse than another.
    """
    same = np.flatnonzero(tokenized.best == tokenized.worst)
    if len(same):
        raise DataError(
            f"row {tokenized.examples[int(same[0])].id}: no response is worse than another, so it has no margin: "
            "drop the steps that go by margins (for parts of stepwise training use by=equal), or use data with pairs "
            "or lists"
        )
    rows = zip(tokenized.logps, tokenized.best, tokenized.worst, strict=True)
    return np.array([float(logps[best] - logps[worst]) for logps, best, worst in rows])


def check_bounds(step: str, low: float | None, high: float | None, *, share: bool = False) -> None:
    """Raise ConfigError for bounds that should be shares and are none in [0, 1], or have nothing between them."""
    bounds = {key: value for key, value in {"low": low, "high": high}.items() if value is not None}
    for key, value in bounds.items():
        if share and not 0 <= value <= 1:
            raise ConfigError(
                f"pipeline.{step}.{key}={value}: with unit=quantile a share in [0, 1] is expected"
            )
    if len(bounds) == 2 and bounds["low"] > bounds["high"]:
        raise ConfigError(f"pipeline.{step}.low={low} is above high={high}: no row would stay")


def out_of_bounds(value: float, low: float | None, high: float | None, name: str) -> str | None:
    """The reason to drop a row whose `value`, called `name`, is out of bounds; None where it is within."""
    if low is not None and value < low:
        return f"{name} below {low:.6g}"
    if high is not None and value > high:
        return f"{name} above {high:.6g}"
    return None


def quantile(values: Array, share: float | None) -> float | None:
    """The quantile of the values below which `share` of them lie; None for no share, or no values."""
    return None if share is None or not len(values) else float(np.quantile(values, share))
