"""Decides which responses count as chosen and which as rejected in metrics."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from alignlab.derived import Pairs
from alignlab.metrics.ranking import wins
from alignlab.objective.pair_selection import best_worst

MIDDLE = 0.5
"""The label above which a lone response is desirable."""


@dataclass(frozen=True)
class ChosenRejected:
    """The chosen and rejected responses of lists: the best and the worst of each.

    Of lone responses, the desirable are chosen, the others rejected. Lists whose labels do not differ have neither.
    """

    ends: Pairs
    """The pair of best and worst response of every list of two or more."""
    lone: Bool[Tensor, "B K"]
    """Whether a response is alone in its list."""
    desirable: Bool[Tensor, "B K"]
    """Whether the label of a response is above `MIDDLE`."""

    @staticmethod
    def of(labels: Float[Tensor, "B K"], where: Bool[Tensor, "B K"]) -> "ChosenRejected":
        """The chosen and rejected responses of a batch of lists."""
        lone = where & (where.sum(1, keepdim=True) == 1)
        return ChosenRejected(best_worst(labels, where), lone, labels > MIDDLE)

    def take(self, values: Shaped[Tensor, "B K"], side: str) -> Shaped[Tensor, "N"]:
        """The values of the chosen or of the rejected responses, as `side` says."""
        lone = self.lone & (self.desirable == (side == "chosen"))
        return torch.cat([self.ends.take(values, side), values[lone]])

    def signs_right(self, rewards: Float[Tensor, "B K"]) -> Float[Tensor, "N"]:
        """For each lone response, 1 where the sign of its reward fits its label, 0.5 for a reward of 0, else 0."""
        signed = torch.where(self.desirable, rewards, -rewards)[self.lone]
        return wins(signed, torch.zeros_like(signed))
