"""AlphaPO: SimPO under a reward that is bent by alpha."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from alignlab.objective.numeric import PerPair, per_token
from alignlab.settings import AnyNumber, NonNegative


def alpha_po(
    chosen_logps: Float[Tensor, "P"],
    rejected_logps: Float[Tensor, "P"],
    chosen_lengths: Float[Tensor, "P"],
    rejected_lengths: Float[Tensor, "P"],
    *,
    beta: PerPair = 2.5,
    gamma: NonNegative = 1.0,
    alpha: AnyNumber = 0.25,
) -> Float[Tensor, "P"]:
    """AlphaPO, arXiv:2501.03884.

    -log sigmoid(beta * (R_chosen - R_rejected) - gamma), R = (1 - p^-alpha) / alpha, where p = exp(logp / length) is
    the mean probability of a token (geometric).

    alpha = 0 is the limit R = log p, which is `simpo`; above 0 the reward falls faster for unlikely responses, below 0
    more slowly. gamma stands outside beta, as in `simpo` here.

    >>> import torch
    >>> alpha_po(torch.tensor([-10.0]), torch.tensor([-24.0]), torch.tensor([10.0]), torch.tensor([12.0]), alpha=0.0)
    tensor([0.2014])
    """
    chosen = bent(per_token(chosen_logps, chosen_lengths), alpha)
    rejected = bent(per_token(rejected_logps, rejected_lengths), alpha)
    return -F.logsigmoid(beta * (chosen - rejected) - gamma)


def bent(mean_logps: Float[Tensor, "P"], alpha: float) -> Float[Tensor, "P"]:
    """The reward (1 - p^-alpha) / alpha of mean log-probabilities of a token, log p; log p itself where alpha is 0.

    Beyond p^-alpha = exp(60), which no model says of a token, the reward stays as it is there.
    """
    return mean_logps if alpha == 0 else -torch.expm1((-alpha * mean_logps).clamp(max=60)) / alpha
