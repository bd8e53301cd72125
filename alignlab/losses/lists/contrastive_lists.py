"""Losses that match the policy's softmax over a list to that of the rewards."""

import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from alignlab.losses.lists.listwise import log_shares, sum_list


def info_nca(
    logratios: Float[Tensor, "B K"],
    labels: Float[Tensor, "B K"],
    where: Bool[Tensor, "B K"],
    *,
    beta: float = 0.01,
    alpha: float = 0.1,
) -> Float[Tensor, "B"]:
    """InfoNCA, arXiv:2402.05369: cross-entropy between soft rewards and the policy.

    -sum over i of q_i * log_softmax(s)_i, s = beta * logratios, q = softmax(labels / alpha). With
    K = 2 and q one-hot (a small alpha) it is `dpo`. Equal labels pull the list together.

    >>> import torch
    >>> y = torch.tensor([[1.0, 0.0]])
    >>> info_nca(0 * y, y, y >= 0)
    tensor([0.6931])
    """
    targets_BK = log_shares(labels / alpha, where).exp()
    return sum_list(-targets_BK * log_shares(beta * logratios, where), where)


def nca_list(
    logratios: Float[Tensor, "B K"],
    labels: Float[Tensor, "B K"],
    where: Bool[Tensor, "B K"],
    *,
    beta: float = 0.01,
    alpha: float = 0.1,
) -> Float[Tensor, "B"]:
    """Noise contrastive alignment, arXiv:2402.05369, of a list of rewarded responses.

    -sum over i of q_i * log sigmoid(s_i) - mean over i of log sigmoid(-s_i), s = beta * logratios,
    q = softmax(labels / alpha). Absolute, not relative: it keeps the best response likely. With
    K = 2 and q one-hot it is `nca`.

    >>> import torch
    >>> y = torch.tensor([[1.0, 0.0]])
    >>> nca_list(0 * y, y, y >= 0)  # 2 ln 2
    tensor([1.3863])
    """
    scores_BK = beta * logratios
    targets_BK = log_shares(labels / alpha, where).exp()
    noise_BK = F.softplus(scores_BK) / where.sum(dim=1, keepdim=True).clamp(min=1)
    return sum_list(targets_BK * F.softplus(-scores_BK) + noise_BK, where)


def exo_list(
    logratios: Float[Tensor, "B K"],
    labels: Float[Tensor, "B K"],
    where: Bool[Tensor, "B K"],
    *,
    beta: float = 0.1,
    beta_r: float = 0.1,
) -> Float[Tensor, "B"]:
    """Efficient exact optimization with rewards, EXO-rw, arXiv:2402.00856.

    KL(softmax(beta * logratios) || softmax(labels / beta_r)), the reverse KL: never negative, and 0
    where both agree. `beta` is the paper's beta_pi. With K = 2 it is `exo`, whose epsilon is then
    sigmoid(-(label_1 - label_2) / beta_r).

    >>> import torch
    >>> y = torch.tensor([[1.0, 0.0]])
    >>> exo_list(10 * y, y, y >= 0, beta=1.0, beta_r=0.1)
    tensor([0.])
    """
    own_BK, targets_BK = log_shares(beta * logratios, where), log_shares(labels / beta_r, where)
    return sum_list(own_BK.exp() * (own_BK - targets_BK), where)
