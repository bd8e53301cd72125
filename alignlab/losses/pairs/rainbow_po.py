"""RainbowPO: length normalization, a mixed reference and contextual scaling in one loss."""

from collections.abc import Callable
from functools import partial

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from alignlab.objective.numeric import PerPair, per_token
from alignlab.settings import NonNegative, PositiveNumber, Share
from alignlab.types import Reports


def rainbow_po(
    *,
    beta: PositiveNumber = 10.0,
    alpha: Share = 0.25,
    gamma: NonNegative = 0.1,
    c: PositiveNumber = 0.29,
    dispersion: bool = True,
) -> Callable[..., Float[Tensor, "P"] | tuple[Float[Tensor, "P"], Reports]]:
    """RainbowPO, arXiv:2410.04203.

    -log sigmoid(beta * phi * m), m the difference of mean log-probabilities of the policy, less alpha
    times that of the reference, less (1 - alpha) * gamma. phi = -c * ln H, H the token entropy of the
    reference over ln(vocabulary), mean of both responses: certain contexts weigh more, and c = 0.29 makes
    phi 1 on average.

    `dispersion=false` sets phi = 1, and asks for no entropy; with it alpha = 1 is `ln_dpo`, and alpha = 0
    is `simpo` with the margin beta * gamma.

    Reports `phi`, where there is dispersion.

    >>> import torch
    >>> plain, one = rainbow_po(dispersion=False, gamma=0.0), torch.ones(1)
    >>> plain(-one, -one, -one, -one, one, one)
    tensor([0.6931])
    """
    if dispersion:
        return partial(dispersed, beta=beta, alpha=alpha, gamma=gamma, c=c)
    return partial(mixed, beta=beta, alpha=alpha, gamma=gamma)


def mixed(
    chosen_logps: Float[Tensor, "P"],
    rejected_logps: Float[Tensor, "P"],
    chosen_ref_logps: Float[Tensor, "P"],
    rejected_ref_logps: Float[Tensor, "P"],
    chosen_lengths: Float[Tensor, "P"],
    rejected_lengths: Float[Tensor, "P"],
    *,
    beta: PerPair,
    alpha: float,
    gamma: float,
) -> Float[Tensor, "P"]:
    """The RainbowPO loss with phi = 1, where every context weighs the same."""
    chosen = per_token(chosen_logps - alpha * chosen_ref_logps, chosen_lengths)
    rejected = per_token(rejected_logps - alpha * rejected_ref_logps, rejected_lengths)
    return -F.logsigmoid(beta * (chosen - rejected - (1 - alpha) * gamma))


def dispersed(
    chosen_logps: Float[Tensor, "P"],
    rejected_logps: Float[Tensor, "P"],
    chosen_ref_logps: Float[Tensor, "P"],
    rejected_ref_logps: Float[Tensor, "P"],
    chosen_lengths: Float[Tensor, "P"],
    rejected_lengths: Float[Tensor, "P"],
    chosen_ref_entropy: Float[Tensor, "P"],
    rejected_ref_entropy: Float[Tensor, "P"],
    *,
    beta: PerPair,
    alpha: float,
    gamma: float,
    c: float,
) -> tuple[Float[Tensor, "P"], Reports]:
    """The RainbowPO loss whose beta is scaled by phi, with H held between 1e-6 and 1."""
    entropy = (chosen_ref_entropy + rejected_ref_entropy).detach() / 2
    phi = -c * entropy.clamp(min=1e-6, max=1.0).log()
    losses = mixed(
        chosen_logps,
        rejected_logps,
        chosen_ref_logps,
        rejected_ref_logps,
        chosen_lengths,
        rejected_lengths,
        beta=beta * phi,
        alpha=alpha,
        gamma=gamma,
    )
    return losses, {"phi": phi}
