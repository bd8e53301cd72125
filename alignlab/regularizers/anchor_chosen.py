"""The best response must not become less likely than under the reference."""

import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from alignlab.regularizers.reduce import take_best


def anchor_chosen(
    logps: Float[Tensor, "B K"],
    ref_logps: Float[Tensor, "B K"],
    labels: Float[Tensor, "B K"],
    where: Bool[Tensor, "B K"],
) -> Float[Tensor, "B"]:
    """Nats that the best response has lost against the reference.

    max(0, ref_logp - logp) of the best response of each list (the first of equals), in nats.

    This is the penalty that DPOP (arXiv:2402.13228) has inside its sigmoid; beside any loss it makes another
    method. At the start, where policy and reference agree, it has no gradient.

    >>> import torch
    >>> logps, labels = torch.tensor([[-12.0, -9.0]]), torch.tensor([[1.0, 0.0]])
    >>> anchor_chosen(logps, torch.tensor([[-10.0, -9.0]]), labels, labels >= 0)
    tensor([2.])
    """
    return F.relu(take_best(ref_logps - logps, labels, where))
