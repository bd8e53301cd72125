"""Token-level DPO in both of its forms: the divergence of each token joins the margin."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from alignlab.objective.numeric import PerPair
from alignlab.settings import NonNegative
from alignlab.types import Reports


def tdpo1(
    chosen_logratios: Float[Tensor, "P"],
    rejected_logratios: Float[Tensor, "P"],
    chosen_kl_forward: Float[Tensor, "P"],
    rejected_kl_forward: Float[Tensor, "P"],
    *,
    beta: PerPair = 0.1,
) -> tuple[Float[Tensor, "P"], Reports]:
    """Token-level DPO, first form, arXiv:2404.11999.

    -log sigmoid(beta * (h - (K_rejected - K_chosen))), where h = chosen_logratio - rejected_logratio, K
    the forward KL(reference || policy) at each token, summed over the response, in nats.

    Where both divergences are 0 the loss is `dpo`. The form is meant for low learning rates.

    Reports `kl_chosen` and `kl_rejected`, the divergence K of each side, summed over the response, in nats.

    >>> import torch
    >>> half = torch.tensor([0.5])
    >>> tdpo1(half, -half, half, 3 * half)[0]
    tensor([0.6931])
    """
    drift = rejected_kl_forward - chosen_kl_forward
    losses = -F.logsigmoid(beta * (chosen_logratios - rejected_logratios - drift))
    return losses, {"kl_chosen": chosen_kl_forward, "kl_rejected": rejected_kl_forward}


def tdpo2(
    chosen_logratios: Float[Tensor, "P"],
    rejected_logratios: Float[Tensor, "P"],
    chosen_kl_forward: Float[Tensor, "P"],
    rejected_kl_forward: Float[Tensor, "P"],
    *,
    beta: PerPair = 0.1,
    alpha: NonNegative = 0.5,
) -> tuple[Float[Tensor, "P"], Reports]:
    """Token-level DPO, second form, arXiv:2404.11999.

    -log sigmoid(beta * (h - alpha * (K_rejected - K_chosen))) without gradient through K_chosen.

    With alpha = 0 the loss is `dpo`; with alpha = 1 its value, but not its gradient, is that of `tdpo1`.
    The form is meant for high learning rates.

    Reports `kl_chosen` and `kl_rejected`, the divergence K of each side, summed over the response, in nats.

    >>> import torch
    >>> half = torch.tensor([0.5])
    >>> tdpo2(half, -half, half, 5 * half)[0]
    tensor([0.6931])
    """
    drift = rejected_kl_forward - chosen_kl_forward.detach()
    losses = -F.logsigmoid(beta * (chosen_logratios - rejected_logratios - alpha * drift))
    return losses, {"kl_chosen": chosen_kl_forward, "kl_rejected": rejected_kl_forward}
