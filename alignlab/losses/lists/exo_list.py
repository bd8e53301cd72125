"""Efficient exact optimization with rewards: a reverse KL over a list."""

from jaxtyping import Bool, Float
from torch import Tensor

from alignlab.losses.lists.masked_lists import log_softmax, sum_list
from alignlab.settings import PositiveNumber


def exo_list(
    logratios: Float[Tensor, "B K"],
    labels: Float[Tensor, "B K"],
    where: Bool[Tensor, "B K"],
    *,
    beta: PositiveNumber = 0.1,
    beta_r: PositiveNumber = 0.1,
) -> Float[Tensor, "B"]:
    """Efficient exact optimization with rewards, EXO-rw, arXiv:2402.00856.

    KL(softmax(beta * logratios) || softmax(labels / beta_r)), the reverse KL: never negative, and 0 where
    both agree.

    `beta` is the paper's beta_pi. With K = 2 the loss is `exo`, whose epsilon is then sigmoid(-(label_1 -
    label_2) / beta_r).

    >>> import torch
    >>> y = torch.tensor([[1.0, 0.0]])
    >>> exo_list(10 * y, y, y >= 0, beta=1.0, beta_r=0.1)
    tensor([0.])
    """
    own_BK, targets_BK = log_softmax(beta * logratios, where), log_softmax(labels / beta_r, where)
    return sum_list(own_BK.exp() * (own_BK - targets_BK), where)
