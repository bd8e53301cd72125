"""DPO whose beta differs from pair to pair."""

from jaxtyping import Float
from torch import Tensor

from alignlab.losses.pairs.pairwise import dpo
from alignlab.objective.numeric import MAX_EXPONENT


def mm_dpo(
    chosen_logratios: Float[Tensor, "P"],
    rejected_logratios: Float[Tensor, "P"],
    chosen_rewards: Float[Tensor, "P"],
    rejected_rewards: Float[Tensor, "P"],
    *,
    beta: float = 0.1,
    w: float = 0.5,
    k: float = 0.5,
) -> Float[Tensor, "P"]:
    """DPO with dynamic reward scaling, MM-RLHF, arXiv:2502.10391.

    `dpo` with beta * (1 + w * (1 - exp(-k * delta))), delta the chosen reward less the rejected:
    pairs that a reward model tells clearly apart count up to 1 + w times. Rewards equal, or w = 0,
    make it `dpo`. The paper takes all pairs of a ranked list.

    >>> import torch
    >>> one = torch.ones(1)
    >>> mm_dpo(0.5 * one, -0.5 * one, one, one)
    tensor([0.6444])
    """
    betas = dynamic_beta(chosen_rewards - rejected_rewards, beta=beta, w=w, k=k)
    return dpo(chosen_logratios, rejected_logratios, beta=betas)


def dynamic_beta(margin: Float[Tensor, "P"], *, beta: float, w: float, k: float) -> Float[Tensor, "P"]:
    """beta * (1 + w * (1 - exp(-k * margin))), without gradient, at least 0.001.

    >>> import torch
    >>> dynamic_beta(torch.tensor([0.0, 2.0]), beta=0.1, w=0.5, k=0.5)
    tensor([0.1000, 0.1316])
    """
    growth = -(-k * margin.detach()).clamp(max=MAX_EXPONENT).expm1()
    return (beta * (1 + w * growth)).clamp(min=1e-3)
