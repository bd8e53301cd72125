"""Pairwise losses of self-play: log-ratios regress on what a response wins against others."""

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

    ((chosen_logratio - (P_chosen - 1/2) / beta)^2 + (rejected_logratio - (P_rejected - 1/2) / beta)^2)
    / 2, where the labels P are mean win probabilities against samples of the policy. `hard` sets
    P = 1 and 0; `aggregate="sum"` adds both sides, twice the mean. With beta 0.001 the loss starts
    at some 2.5e5: clip gradients. The reference is the policy of the round before.

    >>> one = torch.ones(1)
    >>> sppo(5 * one, -5 * one, one, 0 * one, beta=0.1)
    tensor([0.])
    """
    if hard:
        chosen_labels, rejected_labels = torch.ones_like(chosen_labels), torch.zeros_like(rejected_labels)
    chosen = (chosen_logratios - (chosen_labels - 0.5) / beta).square()
    rejected = (rejected_logratios - (rejected_labels - 0.5) / beta).square()
    return (chosen + rejected) / (2 if one_of("aggregate", aggregate, ("mean", "sum")) == "mean" else 1)


def gpo(
    chosen_logratios: Float[Tensor, "P"],
    rejected_logratios: Float[Tensor, "P"],
    chosen_rewards: Float[Tensor, "P"],
    rejected_rewards: Float[Tensor, "P"],
    *,
    beta: PerPair = 0.001,
    clamp: float | None = None,
) -> Float[Tensor, "P"]:
    """General preference optimization, arXiv:2410.02197.

    ((chosen_logratio - s_chosen / beta)^2 + (rejected_logratio - s_rejected / beta)^2) / 2, where the
    rewards s are mean scores of a general preference model against samples of the policy. `clamp`
    bounds the targets s / beta (1000 in the authors' scripts). With s = P - 1/2 it is `sppo`.

    >>> one = torch.ones(1)
    >>> gpo(8 * one, -20 * one, one, -2 * one, beta=0.1)
    tensor([2.])
    """
    chosen, rejected = chosen_rewards / beta, rejected_rewards / beta
    if clamp is not None:
        chosen, rejected = chosen.clamp(-clamp, clamp), rejected.clamp(-clamp, clamp)
    return ((chosen_logratios - chosen).square() + (rejected_logratios - rejected).square()) / 2
