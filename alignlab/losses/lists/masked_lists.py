"""Sums, softmax and ordered pairs over lists in which some responses are absent."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

LOWEST = -1e30
"""Stands for minus infinity where `0 * -inf` would be NaN."""


def gaps(values: Tensor) -> Tensor:
    """Differences value_i - value_j of each two responses of a list: `[B, K, ...]` gives `[B, K, K, ...]`."""
    return values[:, :, None] - values[:, None, :]


def ordered(labels: Float[Tensor, "B K"], where: Bool[Tensor, "B K"]) -> Bool[Tensor, "B K K"]:
    """True at [b, i, j] where both responses are present and i has the higher label, `[B, K, K]`."""
    return (gaps(labels) > 0) & where[:, :, None] & where[:, None, :]


def sum_pairs(
    losses_BKK: Float[Tensor, "B K K"],
    labels: Float[Tensor, "B K"],
    where: Bool[Tensor, "B K"],
    pair_mean: bool = False,
) -> Float[Tensor, "B"]:
    """The sum (or mean) over the ordered pairs of each list, `[B]`; 0 where a list has none."""
    totals_B, pairs_B = over_pairs(losses_BKK, labels, where)
    return totals_B / pairs_B.clamp(min=1) if pair_mean else totals_B


def over_pairs(
    values_BKK: Float[Tensor, "B K K"], labels: Float[Tensor, "B K"], where: Bool[Tensor, "B K"]
) -> tuple[Float[Tensor, "B"], Int[Tensor, "B"]]:
    """The sum of values over the ordered pairs of each list and their number, to report a mean over pairs."""
    ordered_BKK = ordered(labels, where)
    return values_BKK.masked_fill(~ordered_BKK, 0).sum(dim=(1, 2)), ordered_BKK.sum(dim=(1, 2))


def sum_list(losses_BK: Float[Tensor, "B K"], where: Bool[Tensor, "B K"]) -> Float[Tensor, "B"]:
    """The sum over the responses of each list, `[B]`; 0 for a list of fewer than two."""
    return losses_BK.masked_fill(~where | (where.sum(dim=1, keepdim=True) < 2), 0).sum(dim=1)


def log_softmax(scores_BK: Float[Tensor, "B K"], where: Bool[Tensor, "B K"]) -> Float[Tensor, "B K"]:
    """The log-softmax over the responses that are present, `[B, K]`; 0 in the other slots."""
    return F.log_softmax(scores_BK.masked_fill(~where, LOWEST), dim=1).masked_fill(~where, 0)


def is_top(labels: Float[Tensor, "B K"], where: Bool[Tensor, "B K"]) -> Bool[Tensor, "B K"]:
    """True on the best response of each list, the first of equals; nowhere in an empty list."""
    best_B1 = labels.masked_fill(~where, -torch.inf).argmax(dim=1, keepdim=True)
    return (torch.arange(labels.shape[1], device=labels.device) == best_B1) & where


def is_tied(values: Float[Tensor, "B K"], where: Bool[Tensor, "B K"]) -> Bool[Tensor, "B 1"]:
    """True for a list whose labels (or rewards) are all equal, as those of a lone response and of an empty list are."""
    highest = values.masked_fill(~where, -torch.inf).amax(dim=1, keepdim=True)
    return highest <= values.masked_fill(~where, torch.inf).amin(dim=1, keepdim=True)
