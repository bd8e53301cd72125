"""What listwise losses share: masked softmax, ordered pairs, ranks, and the weights of LambdaLoss."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from alignlab.errors import one_of

LOWEST = -1e30
"""Stands for minus infinity where `0 * -inf` would be NaN."""


def gaps(values: Tensor) -> Tensor:
    """[b, i, j] = value_i - value_j, from `[B, K, ...]`."""
    return values[:, :, None] - values[:, None, :]


def ordered(labels: Float[Tensor, "B K"], where: Bool[Tensor, "B K"]) -> Bool[Tensor, "B K K"]:
    """[b, i, j]: both responses are there, and i has the higher label."""
    return (gaps(labels) > 0) & where[:, :, None] & where[:, None, :]


def sum_pairs(
    losses_BKK: Float[Tensor, "B K K"],
    labels: Float[Tensor, "B K"],
    where: Bool[Tensor, "B K"],
    pair_mean: bool = False,
) -> Float[Tensor, "B"]:
    """Sum (or mean) over the ordered pairs of each list; 0 where it has none."""
    ordered_BKK = ordered(labels, where)
    totals_B = losses_BKK.masked_fill(~ordered_BKK, 0).sum(dim=(1, 2))
    return totals_B / ordered_BKK.sum(dim=(1, 2)).clamp(min=1) if pair_mean else totals_B


def sum_list(losses_BK: Float[Tensor, "B K"], where: Bool[Tensor, "B K"]) -> Float[Tensor, "B"]:
    """Sum over the responses of each list; 0 for a list of fewer than two."""
    return losses_BK.masked_fill(~where | (where.sum(dim=1, keepdim=True) < 2), 0).sum(dim=1)


def log_shares(scores_BK: Float[Tensor, "B K"], where: Bool[Tensor, "B K"]) -> Float[Tensor, "B K"]:
    """Log-softmax over the responses that are there; 0 in the other slots."""
    return F.log_softmax(scores_BK.masked_fill(~where, LOWEST), dim=1).masked_fill(~where, 0)


def is_top(labels: Float[Tensor, "B K"], where: Bool[Tensor, "B K"]) -> Bool[Tensor, "B K"]:
    """True on the best response of each list, the first of equals; nowhere in an empty list."""
    best_B1 = labels.masked_fill(~where, -torch.inf).argmax(dim=1, keepdim=True)
    return (torch.arange(labels.shape[1], device=labels.device) == best_B1) & where


def lambda_weights(
    scores: Float[Tensor, "B K"],
    labels: Float[Tensor, "B K"],
    where: Bool[Tensor, "B K"],
    *,
    gain: str,
    discount: str,
    topn: int | None,
    normalize: bool,
) -> Float[Tensor, "B K K"]:
    """How much the DCG changes if two responses swap ranks: |G_i - G_j| * |1/D(rank_i) - 1/D(rank_j)|.

    G is 2^label - 1 (`gain` exp2) or the label (linear), D is the logarithm of 1 + rank (`discount`
    ln | log2), ranks are those of the scores (1 is the best; ties keep the order of the list). `topn`
    drops the discount below that rank; `normalize` divides by the ideal DCG. Without gradient.
    """
    gains_BK = labels.exp2() - 1 if one_of("gain", gain, ("exp2", "linear")) == "exp2" else labels
    discounts_BK = _discounts(_ranks(scores, where), discount, topn)
    weights_BKK = gaps(gains_BK).abs() * gaps(discounts_BK).abs()
    if normalize:
        ideal_BK = _discounts(_ranks(labels, where), discount, topn)
        ideal_B = (gains_BK * ideal_BK * where).sum(dim=1)
        weights_BKK = weights_BKK / ideal_B.clamp(min=1e-12)[:, None, None]
    return weights_BKK.detach()


def _ranks(scores_BK: Tensor, where: Tensor) -> Tensor:
    """1-based rank of each response, the highest score first, absent responses last."""
    order_BK = scores_BK.detach().masked_fill(~where, -torch.inf).argsort(dim=1, descending=True, stable=True)
    return order_BK.argsort(dim=1, stable=True).to(scores_BK.dtype) + 1


def _discounts(ranks_BK: Tensor, discount: str, topn: int | None) -> Tensor:
    """1 / D(rank), and 0 below rank `topn`."""
    base = math.log(2) if one_of("discount", discount, ("ln", "log2")) == "log2" else 1.0
    values_BK = base / torch.log1p(ranks_BK)
    return values_BK if topn is None else values_BK.masked_fill(ranks_BK > topn, 0)
