"""Weights of terms that change over a run."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from alignlab.errors import ConfigError, nearest
from alignlab.settings import AnyNumber, misfit, typed

KINDS = ("constant", "linear", "cosine")


@dataclass(frozen=True)
class Weight:
    """A weight that goes from `start` to `end` over a run, on a straight line or half a cosine."""

    start: float
    end: float
    kind: str = "constant"

    def at(self, progress: float) -> float:
        """Return the weight when this share (0 to 1) of the optimizer steps is done.

        >>> Weight(1.0, 0.0, "cosine").at(0.5)
        0.5
        """
        done = min(max(progress, 0.0), 1.0)
        if self.kind == "cosine":
            done = (1 - math.cos(math.pi * done)) / 2
        return self.start + (self.end - self.start) * done


def read_weight(value: Any, path: str) -> Weight:
    """Read a weight: a number, or `{schedule: linear | cosine, start: ..., end: ...}`. Raises ConfigError otherwise."""
    if not isinstance(value, Mapping):
        return Weight(number(value, path), number(value, path))
    for key in value:
        if key not in ("schedule", "start", "end"):
            raise ConfigError(f"{path}.{key}: {nearest(str(key), ('schedule', 'start', 'end'))}")
    kind = value.get("schedule", "constant")
    if kind not in KINDS:
        raise ConfigError(f"{path}.schedule={kind}: {nearest(str(kind), KINDS)}")
    if "schedule" not in value and "end" in value:
        raise ConfigError(
            f"{path}: a weight that goes from start to end needs its schedule: linear or cosine"
        )
    if "start" not in value or ("end" not in value and kind != "constant"):
        raise ConfigError(f"{path}: a schedule needs start and end")
    start = number(value["start"], f"{path}.start")
    end = start if kind == "constant" else number(value["end"], f"{path}.end")
    return Weight(start, end, kind)


def number(value: Any, path: str) -> float:
    """Return a finite number; raises ConfigError with the path for anything else."""
    if message := misfit(value, AnyNumber):
        raise ConfigError(f"{path}={typed(value)}: {message}")
    return float(value)
