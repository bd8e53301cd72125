"""What follows from the labels of lists, `[B, K]`; `where` is true where a list has a response."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def desirable(labels: Float[Tensor, "B K"], where: Bool[Tensor, "B K"]) -> Float[Tensor, "B K"]:
    """1 where a label is above the middle of its list's labels, or above 0.5 where these do not differ; else 0."""
    best = labels.masked_fill(~where, -torch.inf).amax(dim=1, keepdim=True)
    worst = labels.masked_fill(~where, torch.inf).amin(dim=1, keepdim=True)
    middle = torch.where(best > worst, (best + worst) / 2, torch.full_like(best, 0.5))
    return ((labels > middle) & where).to(labels.dtype)


def degrees(labels: Float[Tensor, "B K"], where: Bool[Tensor, "B K"]) -> Int[Tensor, "B K"]:
    """The number of distinct labels of the list that are better than a response's."""
    better = (labels[:, :, None] < labels[:, None, :]) & where[:, None, :]  # [b, i, j]: j better than i
    earlier = torch.ones_like(better[0], dtype=torch.bool).tril(-1)  # [j, m]: m stands before j
    repeats = ((labels[:, :, None] == labels[:, None, :]) & where[:, None, :] & earlier).any(dim=2)
    return (better & ~repeats[:, None, :]).sum(dim=2).masked_fill(~where, 0)
