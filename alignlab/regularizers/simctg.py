"""Contrast between the tokens of a response, against representations that all look alike."""

from typing import Annotated

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from alignlab.regularizers.reduce import take_best
from alignlab.settings import between


def simctg(
    hidden: Float[Tensor, "B K L D"],
    lengths: Float[Tensor, "B K"],
    labels: Float[Tensor, "B K"],
    where: Bool[Tensor, "B K"],
    *,
    margin: Annotated[float, between(-1, 2)] = 0.5,
) -> Float[Tensor, "B"]:
    """SimCTG, arXiv:2202.06417: final hidden states of two tokens should not point the same way.

    Mean over all pairs i != j of tokens of the best response of max(0, margin - 1 + cos(h_i, h_j)).

    The value is 0 for a response of one token. Memory grows with the square of the length.

    >>> one = torch.ones(1, 1)
    >>> simctg(torch.tensor([[[[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]]]]), 3 * one, one, one > 0)
    tensor([0.1333])
    """
    lengths_B = take_best(lengths, labels, where)
    directions_BLD = F.normalize(take_best(hidden, labels, where), dim=-1)
    cosines_BLL = directions_BLD @ directions_BLD.mT
    steps_L = torch.arange(hidden.shape[2], device=hidden.device)
    real_BL = steps_L < lengths_B[:, None]
    pairs_BLL = real_BL[:, :, None] & real_BL[:, None, :] & (steps_L[:, None] != steps_L)
    totals_B = F.relu(margin - 1 + cosines_BLL).masked_fill(~pairs_BLL, 0).sum(dim=(1, 2))
    return totals_B / (lengths_B * (lengths_B - 1)).clamp(min=1)
