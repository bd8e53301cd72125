"""Advantages of the responses of a list, from the rewards of that list; exactly 0 where these are all equal."""

from typing import Literal

from jaxtyping import Bool, Float
from torch import Tensor

from alignlab.losses.lists.masked_lists import is_tied

Std = Literal["sample", "population", "none"]
"""What the advantages of a list are divided by: a standard deviation over n - 1 or n responses, or nothing."""
FLOOR = 1e-4
"""What is added to the standard deviation of a list."""


def to_mean(
    rewards: Float[Tensor, "B K"], where: Bool[Tensor, "B K"], *, std: Std = "sample"
) -> Float[Tensor, "B K"]:
    """The reward of each response less the mean of its list, divided by the list's standard deviation + 1e-4.

    >>> import torch
    >>> to_mean(torch.tensor([[1.0, 0.0], [0.7, 0.7]]), torch.ones(2, 2, dtype=torch.bool), std="none")
    tensor([[ 0.5000, -0.5000],
            [ 0.0000,  0.0000]])
    """
    sizes_B1 = where.sum(dim=1, keepdim=True).clamp(min=1)
    gaps_BK = rewards - rewards.masked_fill(~where, 0).sum(dim=1, keepdim=True) / sizes_B1
    gaps_BK = gaps_BK.masked_fill(~where | is_tied(rewards, where), 0)
    if std == "none":
        return gaps_BK
    over_B1 = sizes_B1 if std == "population" else (sizes_B1 - 1).clamp(min=1)
    return gaps_BK / ((gaps_BK.square().sum(dim=1, keepdim=True) / over_B1).sqrt() + FLOOR)


def to_others(rewards: Float[Tensor, "B K"], where: Bool[Tensor, "B K"]) -> Float[Tensor, "B K"]:
    """The reward of each response less the mean of the others of its list (leave one out).

    >>> import torch
    >>> to_others(torch.tensor([[1.0, 0.0, 0.5]]), torch.ones(1, 3, dtype=torch.bool))
    tensor([[ 0.7500, -0.7500,  0.0000]])
    """
    sizes_B1 = where.sum(dim=1, keepdim=True)
    return to_mean(rewards, where, std="none") * sizes_B1 / (sizes_B1 - 1).clamp(min=1)
