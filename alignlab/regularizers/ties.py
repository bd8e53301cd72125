"""Ties: responses with equal labels should have equal values."""

import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from alignlab.settings import PositiveNumber


def ties(
    values: Float[Tensor, "B K"],
    labels: Float[Tensor, "B K"],
    where: Bool[Tensor, "B K"],
    *,
    temperature: PositiveNumber = 1.0,
) -> tuple[Float[Tensor, "B"], Float[Tensor, "B"]]:
    """Bradley-Terry likelihood of the pairs with equal labels, each half a win for both sides; a mean over these pairs.

    -log(sigmoid(h)) / 2 - log(sigmoid(-h)) / 2 for every pair of equal labels, with h the gap of its values over the
    temperature.

    A loss of pairs (`bradley_terry`) leaves such pairs out. At equal values a pair is worth ln 2, the least.

    >>> import torch
    >>> ties(torch.tensor([[1.0, 1.0, 5.0]]), torch.tensor([[0.5, 0.5, 0.0]]), torch.ones(1, 3, dtype=torch.bool))
    (tensor([0.6931]), tensor([1.]))
    """
    equal_BKK = labels[:, :, None] == labels[:, None, :]
    tied_BKK = (equal_BKK & where[:, :, None] & where[:, None, :]).tril(-1)
    gaps_BKK = (values[:, :, None] - values[:, None, :]) / temperature
    losses_BKK = -(F.logsigmoid(gaps_BKK) + F.logsigmoid(-gaps_BKK)) / 2
    return losses_BKK.masked_fill(~tied_BKK, 0).sum(dim=(1, 2)), tied_BKK.sum(dim=(1, 2)).to(values.dtype)
