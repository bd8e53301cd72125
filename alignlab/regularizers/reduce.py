"""Reductions of per-response sums to (values, counts), and the choice of the best response of a list."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from alignlab.errors import one_of

REDUCTIONS = ("token_mean", "seq_mean", "seq_sum")


def reduce_tokens(sums: Tensor, tokens: Tensor, reduction: str) -> tuple[Tensor, Tensor]:
    """Return (values, counts) of per-response sums for a token mean, sequence mean, or sequence sum.

    `token_mean`: all sums of the global batch / all its tokens; `seq_mean`: mean over responses of
    the mean over tokens; `seq_sum`: mean over responses of the sum over tokens.
    """
    if one_of("reduction", reduction, REDUCTIONS) == "token_mean":
        return sums, tokens
    if reduction == "seq_mean":
        sums = sums / tokens.clamp(min=1)
    return sums, torch.ones_like(sums)


def take_best(
    values: Float[Tensor, "B K *rest"], labels: Float[Tensor, "B K"], where: Bool[Tensor, "B K"]
) -> Float[Tensor, "B *rest"]:
    """Values of the best response of each list, the first of equals; an empty list gives its first slot.

    >>> take_best(torch.tensor([[5.0, 7.0]]), torch.tensor([[0.2, 0.9]]), torch.ones(1, 2, dtype=torch.bool))
    tensor([7.])
    """
    best = labels.masked_fill(~where, -torch.inf).argmax(dim=1)
    return values[torch.arange(len(best), device=best.device), best]
