"""A beta for each pair: pairs that a reward model tells clearly apart count more."""

from jaxtyping import Float
from torch import Tensor

from alignlab.objective.modified import Loss
from alignlab.objective.numeric import MAX_EXPONENT, PerPair
from alignlab.settings import NonNegative, PositiveNumber
from alignlab.types import Reports


def dynamic_beta(
    loss: Loss,
    chosen_rewards: Float[Tensor, "P"],
    rejected_rewards: Float[Tensor, "P"],
    *,
    beta: PositiveNumber | None = None,
    w: NonNegative = 0.5,
    k: NonNegative = 0.5,
) -> tuple[Float[Tensor, "P"], Reports]:
    """Dynamic reward scaling, MM-RLHF, arXiv:2502.10391: a pairwise loss whose beta grows with the reward margin.

    loss at beta * (1 + w * (1 - exp(-k * delta))), at least 0.001, with delta the chosen reward less
    the rejected.

    `beta` stands for the loss's own beta, which is then unused; null takes the loss's own. Pairs that a
    reward model tells clearly apart count up to 1 + w times. The objective `mm_dpo` is `dpo` under this
    modifier; the paper takes all pairs of a ranked list. Beside `label_smoothing`, list it after: the
    outermost modifier is the last, and both orders of a pair should share a beta.

    Reports `beta`, the mean of the pairs' betas.

    Raises ConfigError where the loss has no beta.
    """
    base = loss.beta if beta is None else beta
    betas = scaled_beta(chosen_rewards - rejected_rewards, beta=base, w=w, k=k)
    return loss(beta=betas), {"beta": betas}


def scaled_beta(margins: Float[Tensor, "P"], *, beta: PerPair, w: float, k: float) -> Float[Tensor, "P"]:
    """The beta of each pair, beta * (1 + w * (1 - exp(-k * margin))), without gradient, at least 0.001.

    >>> import torch
    >>> scaled_beta(torch.tensor([0.0, 2.0]), beta=0.1, w=0.5, k=0.5)
    tensor([0.1000, 0.1316])
    """
    growth = -(-k * margins.detach()).clamp(max=MAX_EXPONENT).expm1()
    return (beta * (1 + w * growth)).clamp(min=1e-3)
