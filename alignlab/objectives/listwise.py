"""Listwise losses: functions of whole lists, one value a list."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from alignlab.errors import one_of

LOWEST = -1e30
"""Stands for minus infinity where `0 * -inf` would be NaN."""


def lipo_lambda(
    logratios: Float[Tensor, "B K"],
    labels: Float[Tensor, "B K"],
    where: Bool[Tensor, "B K"],
    *,
    beta: float = 0.05,
    gain: str = "exp2",
    discount: str = "ln",
    topn: int | None = None,
    normalize: bool = False,
    pair_mean: bool = False,
) -> Float[Tensor, "B"]:
    """LiPO-lambda, arXiv:2402.01878 eq. 8: a pair-logistic loss weighted by the change in DCG.

    sum over label_i > label_j of D_ij * softplus(-(s_i - s_j)), with s = beta * logratios,
    D_ij = |G_i - G_j| * |1/D(rank_i) - 1/D(rank_j)|, G = 2^label - 1, D(rank) = ln(1 + rank), and
    ranks those of s under the current policy (1 is the best; ties keep the order of the list).
    No gradient flows through D. Labels are expected in [0, 1].

    Options: `gain` exp2 | linear; `discount` ln | log2; `topn` drops the discount below that rank;
    `normalize` divides by the ideal DCG; `pair_mean` divides by the number of ordered pairs.

    >>> import torch
    >>> s, y = torch.tensor([[0.0, 0.0]]), torch.tensor([[1.0, 0.0]])
    >>> lipo_lambda(s, y, y >= 0)  # (1/ln 2 - 1/ln 3) * ln 2
    tensor([0.3691])
    """
    scores_BK = beta * logratios
    ranks_BK = _ranks(scores_BK, where)
    gains_BK = labels.exp2() - 1 if one_of("gain", gain, ("exp2", "linear")) == "exp2" else labels
    discounts_BK = _discounts(ranks_BK, discount, topn)
    weights_BKK = _gaps(gains_BK).abs() * _gaps(discounts_BK).abs()
    if normalize:
        ideal_BK = _discounts(_ranks(labels, where), discount, topn)
        ideal_B = (gains_BK * ideal_BK * where).sum(dim=1)
        weights_BKK = weights_BKK / ideal_B.clamp(min=1e-12)[:, None, None]
    ordered_BKK = (_gaps(labels) > 0) & where[:, :, None] & where[:, None, :]
    losses_BKK = weights_BKK.detach() * F.softplus(-_gaps(scores_BK))
    totals_B = losses_BKK.masked_fill(~ordered_BKK, 0).sum(dim=(1, 2))
    if pair_mean:
        return totals_B / ordered_BKK.sum(dim=(1, 2)).clamp(min=1)
    return totals_B


def list_mle(
    logratios: Float[Tensor, "B K"],
    labels: Float[Tensor, "B K"],
    where: Bool[Tensor, "B K"],
    *,
    beta: float = 0.05,
) -> Float[Tensor, "B"]:
    """Plackett-Luce likelihood of the labelled order: ListMLE in LiPO, DPO's appendix A.3.

    sum over k < K of logsumexp_{j >= k} s_j - s_k, s = beta * logratios in descending label order.
    Equal labels keep the order of the list. With K = 2 it is DPO.

    >>> import torch
    >>> list_mle(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]), torch.ones(1, 2, dtype=torch.bool))
    tensor([0.6931])
    """
    order_BK = labels.masked_fill(~where, -torch.inf).argsort(dim=1, descending=True, stable=True)
    real_BK = where.gather(1, order_BK)
    scores_BK = (beta * logratios).gather(1, order_BK).masked_fill(~real_BK, LOWEST)
    tails_BK = scores_BK.flip(1).logcumsumexp(dim=1).flip(1)
    return (tails_BK - scores_BK).masked_fill(~real_BK, 0).sum(dim=1)


def _gaps(values_BK: Tensor) -> Float[Tensor, "B K K"]:
    """[b, i, j] = value_i - value_j."""
    return values_BK[:, :, None] - values_BK[:, None, :]


def _ranks(scores_BK: Tensor, where: Tensor) -> Tensor:
    """1-based rank of each response, the highest score first, absent responses last."""
    order_BK = scores_BK.detach().masked_fill(~where, -torch.inf).argsort(dim=1, descending=True, stable=True)
    return order_BK.argsort(dim=1, stable=True).to(scores_BK.dtype) + 1


def _discounts(ranks_BK: Tensor, discount: str, topn: int | None) -> Tensor:
    """1 / D(rank), and 0 below rank `topn`."""
    base = math.log(2) if one_of("discount", discount, ("ln", "log2")) == "log2" else 1.0
    values_BK = base / torch.log1p(ranks_BK)
    return values_BK if topn is None else values_BK.masked_fill(ranks_BK > topn, 0)
