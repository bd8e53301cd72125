"""Pairwise losses with a reference: functions of pair signals, one value a pair."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from alignlab.errors import one_of
from alignlab.objective.numeric import PerPair, per_token


def dpo(
    chosen_logratios: Float[Tensor, "P"], rejected_logratios: Float[Tensor, "P"], *, beta: PerPair = 0.1
) -> Float[Tensor, "P"]:
    """Direct preference optimization, arXiv:2305.18290 eq. 7.

    -log sigmoid(beta * (chosen_logratio - rejected_logratio))

    >>> import torch
    >>> dpo(torch.tensor([0.5]), torch.tensor([-0.5]), beta=0.1)
    tensor([0.6444])
    """
    return -F.logsigmoid(beta * (chosen_logratios - rejected_logratios))


def ipo(
    chosen_logratios: Float[Tensor, "P"],
    rejected_logratios: Float[Tensor, "P"],
    chosen_lengths: Float[Tensor, "P"],
    rejected_lengths: Float[Tensor, "P"],
    *,
    tau: float = 0.1,
    aggregate: str = "mean",
) -> Float[Tensor, "P"]:
    """Identity preference optimization, arXiv:2310.12036 eq. 17.

    (h - 1 / (2 tau))^2, h the difference of log-ratios. The paper sums log-ratios over tokens
    (`aggregate="sum"`); the authors later confirmed the mean over tokens, which is the default.

    >>> import torch
    >>> one = torch.ones(1)
    >>> ipo(0.5 * one, -0.5 * one, one, one, tau=0.1)
    tensor([16.])
    """
    if one_of("aggregate", aggregate, ("mean", "sum")) == "mean":
        chosen_logratios = per_token(chosen_logratios, chosen_lengths)
        rejected_logratios = per_token(rejected_logratios, rejected_lengths)
    return (chosen_logratios - rejected_logratios - 1 / (2 * tau)).square()


def rso_hinge(
    chosen_logratios: Float[Tensor, "P"], rejected_logratios: Float[Tensor, "P"], *, gamma: float = 0.05
) -> Float[Tensor, "P"]:
    """Hinge on normalized likelihoods: the hinge-norm loss of RSO, arXiv:2309.06657.

    max(0, 1 - gamma * h), h the difference of log-ratios, in nats; gamma plays the part of DPO's
    beta. A pair beyond the margin (h > 1 / gamma) has no gradient. The paper's sigmoid-norm loss is here
    called `dpo` (beta = gamma), its hinge without a reference `slic`.

    >>> import torch
    >>> rso_hinge(torch.tensor([0.5]), torch.tensor([-0.5]), gamma=0.5)
    tensor([0.5000])
    """
    return F.relu(1 - gamma * (chosen_logratios - rejected_logratios))
