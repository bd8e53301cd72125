"""The weights of LambdaLoss: how much a swap of two responses changes the DCG of a list."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from alignlab.errors import one_of
from alignlab.losses.lists.masked_lists import gaps


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
    """How much the DCG of a list changes if two responses swap ranks: `[B, K, K]`.

    |G_i - G_j| * |1/D(rank_i) - 1/D(rank_j)|, where G is 2^label - 1 (`gain` exp2) or the label (linear),
    D is the logarithm of 1 + rank (`discount` ln | log2), ranks are those of the scores (1 is the best;
    ties keep the order of the list).

    `topn` drops the discount below that rank; `normalize` divides by the ideal DCG. No gradient flows
    through the weights.
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
