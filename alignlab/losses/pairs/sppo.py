"""Self-play preference optimization: log-ratios regress on win probabilities."""

import torch
from jaxtyping import Float
from torch import Tensor

from alignlab.errors import one_of
from alignlab.objective.numeric import PerPair


def sppo(
    chosen_logratios: Float[Tensor, "P"],
    rejected_logratios: Float[Tensor, "P"],
    chosen_labels: Float[Tensor, "P"],
    rejected_labels: Float[Tensor, "P"],
    *,
    beta: PerPair = 0.001,
    hard: bool = False,
    aggregate: str = "mean",
) -> Float[Tensor, "P"]:
    """Self-play preference optimization, arXiv:2405.00675.

    ((chosen_logratio - (P_chosen - 1/2) / beta)^2 + (rejected_logratio - (P_rejected - 1/2) / beta)^2) /
    2, where the labels P are mean win probabilities against samples of the policy.

    `hard` sets P to 1 and 0; `aggregate="sum"` adds both sides, twice the mean. With beta 0.001 the loss
    starts at some 2.5e5: clip gradients. The reference is the policy of the round before.

    >>> one = torch.ones(1)
    >>> sppo(5 * one, -5 * one, one, 0 * one, beta=0.1)
    tensor([0.])
    """
    if hard:
        chosen_labels, rejected_labels = torch.ones_like(chosen_labels), torch.zeros_like(rejected_labels)
    chosen = (chosen_logratios - (chosen_labels - 0.5) / beta).square()
    rejected = (rejected_logratios - (rejected_labels - 0.5) / beta).square()
    return (chosen + rejected) / (2 if one_of("aggregate", aggregate, ("mean", "sum")) == "mean" else 1)
