"""Supervised fine-tuning on the best response of each list."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from alignlab.errors import one_of

REDUCTIONS = ("token_mean", "seq_mean", "seq_sum")


def sft(
    logps: Float[Tensor, "B K"],
    lengths: Float[Tensor, "B K"],
    labels: Float[Tensor, "B K"],
    where: Bool[Tensor, "B K"],
    *,
    reduction: str = "token_mean",
) -> tuple[Float[Tensor, "B"], Float[Tensor, "B"]]:
    """Negative log-likelihood of the best response (the first of equals), in nats.

    `token_mean`: sum over all tokens of the global batch / their number; `seq_mean`: mean over
    lists of the mean over tokens; `seq_sum`: mean over lists of the sum over tokens.
    """
    best_B = labels.masked_fill(~where, -torch.inf).argmax(dim=1, keepdim=True)
    nll_B = -logps.gather(1, best_B).squeeze(1)
    tokens_B = lengths.gather(1, best_B).squeeze(1)
    return reduce_tokens(nll_B, tokens_B, reduction)


def reduce_tokens(sums: Tensor, tokens: Tensor, reduction: str) -> tuple[Tensor, Tensor]:
    """(values, counts) of per-response sums for a token mean, sequence mean, or sequence sum."""
    if one_of("reduction", reduction, REDUCTIONS) == "token_mean":
        return sums, tokens
    if reduction == "seq_mean":
        sums = sums / tokens.clamp(min=1)
    return sums, torch.ones_like(sums)
