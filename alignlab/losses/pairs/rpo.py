"""Regularized preference optimization: DPO with the likelihood of the chosen response."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from alignlab.errors import one_of
from alignlab.objective.numeric import PerPair
from alignlab.settings import NonNegative
from alignlab.types import Reports


def rpo(
    chosen_logratios: Float[Tensor, "P"],
    rejected_logratios: Float[Tensor, "P"],
    chosen_logps: Float[Tensor, "P"],
    chosen_lengths: Float[Tensor, "P"],
    *,
    beta: PerPair = 0.01,
    eta: NonNegative = 0.005,
    normalization: str = "sum_beta",
) -> tuple[Float[Tensor, "P"], Reports]:
    """Regularized preference optimization, arXiv:2405.16436.

    -log sigmoid(beta * h) - eta * beta * chosen_logp, where h = chosen_logratio - rejected_logratio: the
    likelihood of the chosen response is an adversarial regularizer.

    `normalization="mean"` is the form of the paper's appendix, eta * (-chosen_logp / chosen_length)
    without beta; there eta = 0.2, beta = 0.5. With eta = 0 the loss is `dpo`.

    Reports `likelihood_share`, the share of the gradient on chosen_logp that comes of the likelihood term: below some
    0.1 it is hardly seen.

    >>> half, ten = torch.tensor([0.5]), torch.tensor([10.0])
    >>> rpo(half, -half, -ten, ten, beta=0.1, eta=0.2, normalization="mean")
    (tensor([0.8444]), {'likelihood_share': tensor([0.2963])})
    """
    if one_of("normalization", normalization, ("sum_beta", "mean")) == "sum_beta":
        slopes = eta * beta * torch.ones_like(chosen_logps)
    else:
        slopes = eta / chosen_lengths.clamp(min=1)
    margins = beta * (chosen_logratios - rejected_logratios)
    share = slopes / (slopes + beta * torch.sigmoid(-margins))
    return -F.logsigmoid(margins) - slopes * chosen_logps, {"likelihood_share": share}
