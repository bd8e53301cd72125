"""Which responses are called chosen, and which rejected, where metrics tell the two apart."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from alignlab.metrics.ranking import wins
from alignlab.objective.pair_selection import best_worst
from alignlab.signals import Pairs

MIDDLE = 0.5
"""A lone response is desirable above this label."""


@dataclass(frozen=True)
class Sides:
    """Best and worst response of every list; of lone responses, the desirable and the others.

    Lists whose labels do not differ have neither.
    """

    ends: Pairs
    lone: Bool[Tensor, "B K"]
    """Responses that are alone in their list."""
    desirable: Bool[Tensor, "B K"]

    @staticmethod
    def of(labels: Float[Tensor, "B K"], where: Bool[Tensor, "B K"]) -> "Sides":
        """The chosen and rejected responses of a batch of lists."""
        lone = where & (where.sum(1, keepdim=True) == 1)
        return Sides(best_worst(labels, where), lone, labels > MIDDLE)

    def take(self, values: Shaped[Tensor, "B K"], side: str) -> Shaped[Tensor, "N"]:
        """Values of chosen, or of rejected, responses."""
        mine = self.lone & (self.desirable == (side == "chosen"))
        return torch.cat([self.ends.take(values, side), values[mine]])

    def signs_right(self, rewards: Float[Tensor, "B K"]) -> Float[Tensor, "N"]:
        """1 for a lone response whose reward is above 0 as it is desirable, or below as it is not; 0.5 for 0."""
        signed = torch.where(self.desirable, rewards, -rewards)[self.lone]
        return wins(signed, torch.zeros_like(signed))
