"""The loss of general preference models."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from alignlab.settings import NonNegative, PositiveNumber


def gpm(
    preferences: Float[Tensor, "B K K"],
    wins: Float[Tensor, "B K K"],
    where: Bool[Tensor, "B K"],
    *,
    margin: NonNegative = 0.0,
    temperature: PositiveNumber = 0.1,
    ties: bool = False,
) -> tuple[Float[Tensor, "B"], Float[Tensor, "B"]]:
    """General preference model: the likelihood of preferences that may go in a circle, arXiv:2410.02197 eq. 6.

    -log sigmoid((s - margin) / temperature) for every pair of a list, with s the score of the preferred response
    against the other; a mean over pairs.

    With `ties`, a pair without a preference counts as half a win for both sides; else it is left out.

    >>> import torch
    >>> s, w = torch.tensor([[[0.0, 0.1], [-0.1, 0.0]]]), torch.tensor([[[0.5, 1.0], [0.0, 0.5]]])
    >>> gpm(s, w, torch.ones(1, 2, dtype=torch.bool))
    (tensor([0.3133]), tensor([1.]))
    """
    other_KK = ~torch.eye(where.shape[1], dtype=torch.bool, device=where.device)
    both_BKK = where[:, :, None] & where[:, None, :] & other_KK
    counted_BKK = both_BKK if ties else both_BKK & (wins != 0.5)
    losses_BKK = -wins * F.logsigmoid((preferences - margin) / temperature)
    counts_B = counted_BKK.sum(dim=(1, 2)) / 2  # a pair stands in both orders
    return losses_BKK.masked_fill(~counted_BKK, 0).sum(dim=(1, 2)), counts_B.to(losses_BKK.dtype)
