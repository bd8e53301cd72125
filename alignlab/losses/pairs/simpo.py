"""Simple preference optimization: mean log-probabilities and a margin, without a reference."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from alignlab.objective.numeric import PerPair, per_token
from alignlab.settings import NonNegative


def simpo(
    chosen_logps: Float[Tensor, "P"],
    rejected_logps: Float[Tensor, "P"],
    chosen_lengths: Float[Tensor, "P"],
    rejected_lengths: Float[Tensor, "P"],
    *,
    beta: PerPair = 2.0,
    gamma: NonNegative = 1.0,
) -> Float[Tensor, "P"]:
    """Simple preference optimization, arXiv:2405.14734 eq. 6.

    -log sigmoid(beta * (chosen_logp / chosen_length - rejected_logp / rejected_length) - gamma).

    The released code's `gamma_beta_ratio` is gamma / beta.

    >>> import torch
    >>> simpo(torch.tensor([-10.0]), torch.tensor([-24.0]), torch.tensor([10.0]), torch.tensor([12.0]))
    tensor([0.3133])
    """
    chosen = per_token(chosen_logps, chosen_lengths)
    rejected = per_token(rejected_logps, rejected_lengths)
    return -F.logsigmoid(beta * (chosen - rejected) - gamma)
