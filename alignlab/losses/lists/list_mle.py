"""ListMLE: the Plackett-Luce likelihood of a list in its labelled order."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from alignlab.losses.lists.masked_lists import LOWEST, is_tied
from alignlab.settings import PositiveNumber


def list_mle(
    logratios: Float[Tensor, "B K"],
    labels: Float[Tensor, "B K"],
    where: Bool[Tensor, "B K"],
    *,
    beta: PositiveNumber = 0.05,
) -> Float[Tensor, "B"]:
    """Plackett-Luce likelihood of the labelled order: ListMLE in LiPO, DPO's appendix A.3.

    sum over k < K of logsumexp_{j >= k} s_j - s_k, s = beta * logratios in descending label order.

    Equal labels keep the order of the list, but a list of none but equal labels is worth 0. With K = 2 the loss is
    `dpo`.

    >>> import torch
    >>> list_mle(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]), torch.ones(1, 2, dtype=torch.bool))
    tensor([0.6931])
    """
    return order_nll(beta * logratios, labels, where)


def order_nll(scores_BK: Tensor, labels: Tensor, where: Tensor) -> Tensor:
    """The negative log of the Plackett-Luce likelihood of the labelled order, `[B]`, in nats; 0 without an order."""
    order_BK = labels.masked_fill(~where, -torch.inf).argsort(dim=1, descending=True, stable=True)
    real_BK = where.gather(1, order_BK)
    scores_BK = scores_BK.gather(1, order_BK).masked_fill(~real_BK, LOWEST)
    tails_BK = scores_BK.flip(1).logcumsumexp(dim=1).flip(1)
    followed_BK = F.pad(
        real_BK[:, 1:], (0, 1)
    )  # the last response is drawn from itself alone, whatever its score
    ordered_BK = followed_BK & ~is_tied(labels, where)
    return (tails_BK - scores_BK).masked_fill(~ordered_BK, 0).sum(dim=1)
