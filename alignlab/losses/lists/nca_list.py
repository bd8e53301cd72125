"""Noise contrastive alignment of lists: each response against noise."""

import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from alignlab.losses.lists.masked_lists import log_softmax, sum_list
from alignlab.settings import PositiveNumber


def nca_list(
    logratios: Float[Tensor, "B K"],
    labels: Float[Tensor, "B K"],
    where: Bool[Tensor, "B K"],
    *,
    beta: PositiveNumber = 0.01,
    alpha: PositiveNumber = 0.1,
) -> Float[Tensor, "B"]:
    """Noise contrastive alignment, arXiv:2402.05369, of a list of rewarded responses.

    -sum over i of q_i * log sigmoid(s_i) - mean over i of log sigmoid(-s_i), s = beta * logratios, q =
    softmax(labels / alpha).

    The loss is absolute, not relative: it keeps the best response likely. With K = 2 and q one-hot it is
    `nca`.

    >>> import torch
    >>> y = torch.tensor([[1.0, 0.0]])
    >>> nca_list(0 * y, y, y >= 0)  # 2 ln 2
    tensor([1.3863])
    """
    scores_BK = beta * logratios
    targets_BK = log_softmax(labels / alpha, where).exp()
    noise_BK = F.softplus(scores_BK) / where.sum(dim=1, keepdim=True).clamp(min=1)
    return sum_list(targets_BK * F.softplus(-scores_BK) + noise_BK, where)
