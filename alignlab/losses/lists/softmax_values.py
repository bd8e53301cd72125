"""Softmax over a list: the likelihood of drawing the better responses under a reward model's values."""

from jaxtyping import Bool, Float
from torch import Tensor

from alignlab.losses.lists.lipo import softmax_nll
from alignlab.settings import PositiveNumber


def softmax_values(
    values: Float[Tensor, "B K"],
    labels: Float[Tensor, "B K"],
    where: Bool[Tensor, "B K"],
    *,
    temperature: PositiveNumber = 1.0,
) -> Float[Tensor, "B"]:
    """Softmax cross-entropy of a list with its labels, for a reward model: Cao et al. 2007; `lipo_softmax` of values.

    -sum over i of label_i / sum(labels) * log_softmax(values / temperature)_i.

    Labels must not be negative; a list whose labels are all 0 is worth 0. With K = 2 and labels (1, 0) the loss is
    `bradley_terry`.

    >>> import torch
    >>> softmax_values(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]), torch.ones(1, 2, dtype=torch.bool))
    tensor([0.6931])
    """
    return softmax_nll(values / temperature, labels, where)
