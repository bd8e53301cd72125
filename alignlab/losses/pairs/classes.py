"""Pairwise losses that judge each response by itself, or as one of two classes."""

import math

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from alignlab.objective.numeric import PerPair, expect


def exo(
    chosen_logratios: Float[Tensor, "P"],
    rejected_logratios: Float[Tensor, "P"],
    *,
    beta: PerPair = 0.1,
    epsilon: float = 0.001,
) -> Float[Tensor, "P"]:
    """Efficient exact optimization on pairs, arXiv:2402.00856.

    KL(q || p): q = (sigmoid(m), sigmoid(-m)) the policy's choice, m = beta * h, h the difference of
    log-ratios, and p = (1 - epsilon, epsilon) the label's. Never below 0. The released code takes
    (0, -10) as the logarithm of p, which does not sum to 1: a constant less.

    Raises ConfigError on an epsilon outside (0, 0.5].

    >>> import torch
    >>> exo(torch.tensor([0.0]), torch.tensor([0.0]), epsilon=0.5)
    tensor([0.])
    """
    expect(0 < epsilon <= 0.5, "epsilon", epsilon, "the label's probability of rejected, in (0, 0.5]")
    margins = beta * (chosen_logratios - rejected_logratios)
    chosen = margins.sigmoid() * (F.logsigmoid(margins) - math.log1p(-epsilon))
    rejected = (-margins).sigmoid() * (F.logsigmoid(-margins) - math.log(epsilon))
    return chosen + rejected


def nca(
    chosen_logratios: Float[Tensor, "P"], rejected_logratios: Float[Tensor, "P"], *, beta: PerPair = 0.01
) -> Float[Tensor, "P"]:
    """Noise contrastive alignment on pairs, arXiv:2402.05369.

    -log sigmoid(r_chosen) - log sigmoid(-r_chosen) / 2 - log sigmoid(-r_rejected) / 2, with rewards
    r = beta * log-ratio. It keeps the likelihood of the chosen response up, where `dpo` cares only
    for the difference.

    >>> import torch
    >>> nca(torch.tensor([0.0]), torch.tensor([0.0]))
    tensor([1.3863])
    """
    chosen, rejected = beta * chosen_logratios, beta * rejected_logratios
    return -F.logsigmoid(chosen) - (F.logsigmoid(-chosen) + F.logsigmoid(-rejected)) / 2


def apo_zero(
    chosen_logratios: Float[Tensor, "P"], rejected_logratios: Float[Tensor, "P"], *, beta: PerPair = 0.1
) -> Float[Tensor, "P"]:
    """Anchored preference optimization, zero, arXiv:2408.06266.

    1 - sigmoid(r_chosen) + sigmoid(r_rejected), r = beta * log-ratio: chosen up, rejected down. For
    chosen responses better than what the model writes. Half of it is `kto` with z0 = 0 on pairs. Its
    gradient vanishes at both ends.

    >>> import torch
    >>> apo_zero(torch.tensor([0.0]), torch.tensor([0.0]))
    tensor([1.])
    """
    return (-beta * chosen_logratios).sigmoid() + (beta * rejected_logratios).sigmoid()


def apo_down(
    chosen_logratios: Float[Tensor, "P"], rejected_logratios: Float[Tensor, "P"], *, beta: PerPair = 0.1
) -> Float[Tensor, "P"]:
    """Anchored preference optimization, down, arXiv:2408.06266.

    sigmoid(r_chosen) + 1 - sigmoid(r_chosen - r_rejected), r = beta * log-ratio: both down, rejected
    more. For chosen responses worse than what the model writes.

    >>> import torch
    >>> apo_down(torch.tensor([0.0]), torch.tensor([0.0]))
    tensor([1.])
    """
    margins = beta * (chosen_logratios - rejected_logratios)
    return (beta * chosen_logratios).sigmoid() + (-margins).sigmoid()
