"""InfoNCA: the policy's softmax over a list matches that of the rewards."""

from jaxtyping import Bool, Float
from torch import Tensor

from alignlab.losses.lists.masked_lists import log_softmax, sum_list
from alignlab.settings import PositiveNumber


def info_nca(
    logratios: Float[Tensor, "B K"],
    labels: Float[Tensor, "B K"],
    where: Bool[Tensor, "B K"],
    *,
    beta: PositiveNumber = 0.01,
    alpha: PositiveNumber = 0.1,
) -> Float[Tensor, "B"]:
    """InfoNCA, arXiv:2402.05369: cross-entropy between soft rewards and the policy.

    -sum over i of q_i * log_softmax(s)_i, s = beta * logratios, q = softmax(labels / alpha).

    With K = 2 and q one-hot (a small alpha) the loss is `dpo`. Equal labels pull the list together.

    >>> import torch
    >>> y = torch.tensor([[1.0, 0.0]])
    >>> info_nca(0 * y, y, y >= 0)
    tensor([0.6931])
    """
    targets_BK = log_softmax(labels / alpha, where).exp()
    return sum_list(-targets_BK * log_softmax(beta * logratios, where), where)
