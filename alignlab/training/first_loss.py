"""The first loss of a stage, held against the one that labels, rewards and log-ratios of the usual size would give."""

import logging
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from alignlab.objective.objective import Objective
from alignlab.training.rails import at_zero
from alignlab.types import Part

log = logging.getLogger(__name__)

FAR = 10.0
"""How many times the usual loss a first loss may be without a word."""
LEAST = 0.1
"""What a usual loss counts as at the least: some start at 0."""
SPREAD = 10.0
"""The widest usual range of the rewards of a list: ratings from 1 to 10."""


class FirstLoss:
    """Adds up the first loss over the micro-batches of a step, beside what it would be at the usual sizes."""

    def __init__(self, objective: Objective) -> None:
        self.objective = objective
        self._first, self._at_start, self._usual = 0.0, 0.0, 0.0
        self._count, self._gap = 0.0, 0.0

    @torch.no_grad()
    def add(self, signals: Mapping[str, Tensor], part: Part) -> None:
        """Take in a micro-batch by its signals, and by its part of the objective's own loss."""
        start = at_zero(signals)
        usual = {**start, **_eased(signals)}
        self._first += part.sum.item()
        self._at_start += self._sum(start)
        self._usual += self._sum(usual)
        self._count += part.count.item()
        if "ref_logps" in signals and "logps" in signals:
            gaps = (signals["logps"] - signals["ref_logps"]).masked_fill(~signals["where"], 0)
            self._gap = max(self._gap, gaps.abs().max().item())

    def tell(self) -> None:
        """Warn where the loss of the step is far beyond the usual one, with what makes it so."""
        first, at_start, usual = (
            total / max(self._count, 1.0) for total in (self._first, self._at_start, self._usual)
        )
        most = FAR * max(abs(usual), LEAST)
        if abs(first) <= most or not math.isfinite(usual):
            return
        if not abs(at_start) <= most:  # so it is with NaN, too
            reason = "labels or rewards are on another scale, which data.scale maps for labels"
        elif math.isfinite(first):
            reason = f"policy and reference are up to {self._gap:.0f} nats apart on a response"
        else:
            return
        log.warning(
            "the first loss of '%s' is %.4g, where %.3g is usual: %s",
            self.objective.name,
            first,
            usual,
            reason,
        )

    def _sum(self, signals: Mapping[str, Any]) -> float:
        return self.objective(**signals).parts[self.objective.name].sum.item()


def _eased(signals: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The labels mapped to [0, 1] list by list, and rewards to a spread of `SPREAD`, where they go beyond."""
    eased, where = {}, signals["where"]
    for name, most in (("labels", 1.0), ("rewards", SPREAD)):
        if name not in signals:
            continue
        values = signals[name]
        low = values.masked_fill(~where, torch.inf).amin(dim=1, keepdim=True)
        high = values.masked_fill(~where, -torch.inf).amax(dim=1, keepdim=True)
        spread = high - low
        wide = (low < 0) | (high > 1) if name == "labels" else spread > most
        mapped = (values - low) * most / torch.where(spread > 0, spread, torch.ones_like(spread))
        eased[name] = torch.where(wide & where, mapped, values)
    return eased
