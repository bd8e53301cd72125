"""Noise contrastive alignment on pairs: each response against noise."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from alignlab.objective.numeric import PerPair


def nca(
    chosen_logratios: Float[Tensor, "P"], rejected_logratios: Float[Tensor, "P"], *, beta: PerPair = 0.01
) -> Float[Tensor, "P"]:
    """Noise contrastive alignment on pairs, arXiv:2402.05369.

    -log sigmoid(r_chosen) - log sigmoid(-r_chosen) / 2 - log sigmoid(-r_rejected) / 2, with rewards r =
    beta * log-ratio.

    The loss keeps the likelihood of the chosen response up, where `dpo` cares only for the difference.

    >>> import torch
    >>> nca(torch.tensor([0.0]), torch.tensor([0.0]))
    tensor([1.3863])
    """
    chosen, rejected = beta * chosen_logratios, beta * rejected_logratios
    return -F.logsigmoid(chosen) - (F.logsigmoid(-chosen) + F.logsigmoid(-rejected)) / 2
