"""The losses of LiPO, arXiv:2402.01878: learning to rank on s = beta * logratio.

Labels are win probabilities (or rewards squashed to [0, 1]). Losses are summed inside a list; a list
of fewer than two responses is worth 0.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from alignlab.losses.lists.lambda_weights import lambda_weights
from alignlab.losses.lists.masked_lists import gaps, log_softmax, over_pairs, sum_list, sum_pairs
from alignlab.settings import Positive, PositiveNumber
from alignlab.types import Reports


def lipo_point_mse(
    logratios: Float[Tensor, "B K"],
    labels: Float[Tensor, "B K"],
    where: Bool[Tensor, "B K"],
    *,
    beta: PositiveNumber = 0.05,
) -> Float[Tensor, "B"]:
    """Pointwise regression, LiPO, arXiv:2402.01878.

    sum over i of (label_i - s_i)^2, with s = beta * logratios.

    >>> import torch
    >>> y = torch.tensor([[1.0, 0.0]])
    >>> lipo_point_mse(0 * y, y, y >= 0)
    tensor([1.])
    """
    return sum_list((labels - beta * logratios).square(), where)


def lipo_point_sigmoid(
    logratios: Float[Tensor, "B K"],
    labels: Float[Tensor, "B K"],
    where: Bool[Tensor, "B K"],
    *,
    beta: PositiveNumber = 0.05,
) -> Float[Tensor, "B"]:
    """Pointwise classification, LiPO, arXiv:2402.01878.

    sum over i of the cross-entropy between label_i and sigmoid(s_i), with s = beta * logratios.

    Labels outside [0, 1] leave the loss unbounded below.

    >>> import torch
    >>> y = torch.tensor([[1.0, 0.0]])
    >>> lipo_point_sigmoid(0 * y, y, y >= 0)  # 2 ln 2
    tensor([1.3863])
    """
    scores_BK = beta * logratios
    return sum_list(F.softplus(scores_BK) - labels * scores_BK, where)


def lipo_pair_logistic(
    logratios: Float[Tensor, "B K"],
    labels: Float[Tensor, "B K"],
    where: Bool[Tensor, "B K"],
    *,
    beta: PositiveNumber = 0.05,
    pair_mean: bool = False,
) -> Float[Tensor, "B"]:
    """Pairwise logistic loss over every ordered pair, LiPO, arXiv:2402.01878.

    sum over label_i > label_j of softplus(-(s_i - s_j)), with s = beta * logratios.

    `pair_mean` divides by the number of ordered pairs. Equal labels make no pair. With K = 2 the loss is `dpo`.

    >>> import torch
    >>> y = torch.tensor([[1.0, 0.5, 0.0]])
    >>> lipo_pair_logistic(0 * y, y, y >= 0)  # 3 ln 2
    tensor([2.0794])
    """
    return sum_pairs(F.softplus(-gaps(beta * logratios)), labels, where, pair_mean)


def lipo_pair_hinge(
    logratios: Float[Tensor, "B K"],
    labels: Float[Tensor, "B K"],
    where: Bool[Tensor, "B K"],
    *,
    beta: PositiveNumber = 0.05,
    pair_mean: bool = False,
) -> Float[Tensor, "B"]:
    """Pairwise hinge loss over every ordered pair, LiPO, arXiv:2402.01878.

    sum over label_i > label_j of max(0, 1 - (s_i - s_j)), with s = beta * logratios.

    `pair_mean` divides by the number of ordered pairs. Pairs that are 1 / beta nats apart teach
    nothing more. With K = 2 the loss is `rso_hinge`.

    >>> import torch
    >>> y = torch.tensor([[1.0, 0.5, 0.0]])
    >>> lipo_pair_hinge(0 * y, y, y >= 0)
    tensor([3.])
    """
    return sum_pairs(F.relu(1 - gaps(beta * logratios)), labels, where, pair_mean)


def lipo_softmax(
    logratios: Float[Tensor, "B K"],
    labels: Float[Tensor, "B K"],
    where: Bool[Tensor, "B K"],
    *,
    beta: PositiveNumber = 0.05,
) -> Float[Tensor, "B"]:
    """Softmax cross-entropy, LiPO, arXiv:2402.01878.

    -sum over i of label_i / sum(labels) * log_softmax(s)_i, with s = beta * logratios.

    Labels must not be negative; a list whose labels are all 0 is worth 0. With K = 2 and
    labels (1, 0) the loss is `dpo`.

    >>> import torch
    >>> y = torch.tensor([[1.0, 0.0]])
    >>> lipo_softmax(0 * y, y, y >= 0)
    tensor([0.6931])
    """
    return softmax_nll(beta * logratios, labels, where)


def lipo_lambda(
    logratios: Float[Tensor, "B K"],
    labels: Float[Tensor, "B K"],
    where: Bool[Tensor, "B K"],
    *,
    beta: PositiveNumber = 0.05,
    gain: str = "exp2",
    discount: str = "ln",
    topn: Positive | None = None,
    normalize: bool = False,
    pair_mean: bool = False,
) -> tuple[Float[Tensor, "B"], Reports]:
    """LiPO-lambda, arXiv:2402.01878 eq. 8: a pair-logistic loss weighted by the change in DCG.

    sum over label_i > label_j of D_ij * softplus(-(s_i - s_j)), with s = beta * logratios, D_ij = |G_i -
    G_j| * |1/D(rank_i) - 1/D(rank_j)|, G = 2^label - 1, D(rank) = ln(1 + rank), and ranks those of s
    under the current policy (1 is the best; ties keep the order of the list).

    No gradient flows through D. Labels are expected in [0, 1]. With K = 2 and labels (1, 0) the loss is
    `dpo` times 1/ln 2 - 1/ln 3.

    The options are `gain` (exp2 or linear), `discount` (ln or log2), `topn`, which drops the discount
    below that rank, `normalize`, which divides by the ideal DCG, and `pair_mean`, which divides by the
    number of ordered pairs.

    Reports `lambda_weight`, the mean of D over the ordered pairs.

    >>> import torch
    >>> s, y = torch.tensor([[0.0, 0.0]]), torch.tensor([[1.0, 0.0]])
    >>> lipo_lambda(s, y, y >= 0)[0]  # (1/ln 2 - 1/ln 3) * ln 2
    tensor([0.3691])
    """
    scores_BK = beta * logratios
    weights_BKK = lambda_weights(
        scores_BK, labels, where, gain=gain, discount=discount, topn=topn, normalize=normalize
    )
    losses_B = sum_pairs(weights_BKK * F.softplus(-gaps(scores_BK)), labels, where, pair_mean)
    return losses_B, {"lambda_weight": over_pairs(weights_BKK, labels, where)}


def softmax_nll(scores_BK: Tensor, labels: Tensor, where: Tensor) -> Tensor:
    """Return the cross-entropy of each list's labels, as shares of their sum, with the softmax of its scores, `[B]`."""
    totals_B = labels.masked_fill(~where, 0).sum(dim=1, keepdim=True)
    targets_BK = labels / torch.where(totals_B > 0, totals_B, torch.ones_like(totals_B))
    return sum_list(-targets_BK * log_softmax(scores_BK, where), where)
