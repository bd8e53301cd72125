"""The metric that settings are ranked by, and their order."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from alignlab.runs.setting import Setting

SMALLER = ("loss", "kl_exact")
"""Last parts of names of metrics that are better where they are smaller."""
SAMPLED = ("gold/kl", "gold/kl_k3")
"""The KL of samples, which is better where it is smaller; on the data, a log-ratio of either sign is no KL."""


def target_of(config: Mapping[str, Any]) -> str:
    """The metric that settings are ranked by; `optimized_metric=auto` is the exact reward where it is measured."""
    if (metric := config["optimized_metric"]) != "auto":
        return str(metric)
    return "gold/reward" if config["evaluation"].get("reward") else "val/rewards/accuracy"


def minimized(metric: str, direction: str) -> bool:
    """Whether less is better: by the direction given, and for `auto` of losses and divergences.

    >>> [minimized(name, "auto") for name in ("val/loss", "gold/kl", "val/logratio", "gold/reward")]
    [True, True, False, False]
    >>> minimized("gold/reward", "minimize")
    True
    """
    if direction == "auto":
        return metric in SAMPLED or metric.rpartition("/")[2] in SMALLER
    return direction == "minimize"


def ranked(settings: Sequence[Setting], metric: str, *, smallest_first: bool) -> list[Setting]:
    """Settings by the mean of a metric over their seeds, the best first.

    Those with fewer seeds than others (pruned, failed, not there yet) stand behind: their means are of other runs.
    """
    most = max((len(setting.values(metric)) for setting in settings), default=0)

    def place(setting: Setting) -> tuple[bool, bool, float]:
        values = setting.values(metric).values()
        mean = fmean(values) if values else 0.0
        return not values, len(values) < most, mean if smallest_first else -mean

    return sorted(settings, key=place)
