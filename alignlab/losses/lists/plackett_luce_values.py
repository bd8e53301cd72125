"""Plackett-Luce: the likelihood of a list in its labelled order under a reward model's values."""

from jaxtyping import Bool, Float
from torch import Tensor

from alignlab.losses.lists.list_mle import order_nll
from alignlab.settings import PositiveNumber


def plackett_luce_values(
    values: Float[Tensor, "B K"],
    labels: Float[Tensor, "B K"],
    where: Bool[Tensor, "B K"],
    *,
    temperature: PositiveNumber = 1.0,
) -> Float[Tensor, "B"]:
    """Plackett-Luce likelihood of the labelled order, for a reward model: Xia et al. 2008; `list_mle` of values.

    sum over k < K of logsumexp_{j >= k} s_j - s_k, s = values / temperature in descending label order.

    Equal labels keep the order of the list, but a list of none but equal labels is worth 0. With K = 2 the loss is
    `bradley_terry`.

    >>> import torch
    >>> plackett_luce_values(torch.zeros(1, 3), torch.tensor([[1.0, 0.5, 0.0]]), torch.ones(1, 3, dtype=torch.bool))
    tensor([1.7918])
    """
    return order_nll(values / temperature, labels, where)
