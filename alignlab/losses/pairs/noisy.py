"""Pairwise losses for labels that may be wrong: smoothed, debiased, or of a known strength."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from alignlab.objective.numeric import PerPair, expect


def cdpo(
    chosen_logratios: Float[Tensor, "P"],
    rejected_logratios: Float[Tensor, "P"],
    *,
    beta: PerPair = 0.1,
    epsilon: float = 0.1,
) -> Float[Tensor, "P"]:
    """Conservative DPO: label smoothing, from the note that follows arXiv:2305.18290.

    -(1 - epsilon) log sigmoid(m) - epsilon log sigmoid(-m), m = beta * h, h the difference of
    log-ratios; epsilon in [0, 0.5] is how often a label is wrong. The best margin is finite:
    m = logit(1 - epsilon). With epsilon = 0 it is `dpo`.

    Raises ConfigError on an epsilon outside [0, 0.5].

    >>> import torch
    >>> cdpo(torch.tensor([0.5]), torch.tensor([-0.5]))
    tensor([0.6544])
    """
    expect(0 <= epsilon <= 0.5, "epsilon", epsilon, "a rate of wrong labels in [0, 0.5]")
    return soft_label(beta * (chosen_logratios - rejected_logratios), 1 - epsilon)


def rdpo(
    chosen_logratios: Float[Tensor, "P"],
    rejected_logratios: Float[Tensor, "P"],
    *,
    beta: PerPair = 0.1,
    epsilon: float = 0.1,
) -> Float[Tensor, "P"]:
    """Robust DPO, arXiv:2403.00409: unbiased where a share epsilon of the labels is flipped.

    [-(1 - epsilon) log sigmoid(m) + epsilon log sigmoid(-m)] / (1 - 2 epsilon), m = beta * h. Its
    mean over flips is `dpo` on clean labels; with epsilon = 0 it is `dpo`. The gradient never
    vanishes and the loss has no lower bound: train briefly, and stop early.

    Raises ConfigError on an epsilon outside [0, 0.5).

    >>> import torch
    >>> rdpo(torch.tensor([0.5]), torch.tensor([-0.5]))
    tensor([0.6319])
    """
    expect(0 <= epsilon < 0.5, "epsilon", epsilon, "a rate of flipped labels in [0, 0.5)")
    margins = beta * (chosen_logratios - rejected_logratios)
    losses = epsilon * F.logsigmoid(-margins) - (1 - epsilon) * F.logsigmoid(margins)
    return losses / (1 - 2 * epsilon)


def osp(
    chosen_logratios: Float[Tensor, "P"],
    rejected_logratios: Float[Tensor, "P"],
    strength: Float[Tensor, "P"],
    *,
    beta: PerPair = 0.1,
) -> Float[Tensor, "P"]:
    """Online self-preferring, soft preference cross-entropy, arXiv:2405.14103.

    -p log sigmoid(m) - (1 - p) log sigmoid(-m), m = beta * h, p the probability that chosen beats
    rejected: p = (1 + strength) / 2, which is right for labels (p, 1 - p) as for (1, 0). The best
    margin is m = logit(p). No gradient flows through p. With p = 1 it is `dpo`, with p = 1 - epsilon
    `cdpo`.

    >>> import torch
    >>> osp(torch.tensor([0.5]), torch.tensor([-0.5]), torch.tensor([0.8]))
    tensor([0.6544])
    """
    return soft_label(beta * (chosen_logratios - rejected_logratios), (1 + strength.detach()) / 2)


def soft_label(margins: Float[Tensor, "P"], target: PerPair) -> Float[Tensor, "P"]:
    """Cross-entropy of a margin against the probability `target` that chosen is the better one."""
    return -target * F.logsigmoid(margins) - (1 - target) * F.logsigmoid(-margins)
