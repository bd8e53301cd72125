"""Preference ranking optimization: the likelihood of an order under reward margins, without a reference."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from alignlab.errors import one_of
from alignlab.losses.lists.list_mle import order_nll
from alignlab.losses.lists.masked_lists import LOWEST, gaps, is_top, ordered
from alignlab.settings import NonNegative
from alignlab.types import Reports


def pro(
    logps: Float[Tensor, "B K"],
    lengths: Float[Tensor, "B K"],
    labels: Float[Tensor, "B K"],
    where: Bool[Tensor, "B K"],
    *,
    sft_weight: NonNegative = 0.05,
    temperature: str = "reward",
) -> tuple[Float[Tensor, "B"], Reports]:
    """Preference ranking optimization, arXiv:2306.17492, without a reference.

    With s = logp / length, labels r as rewards, and n responses, the sum over k of logsumexp(s_k m_k,
    {s_i (r_k - r_i) : r_i < r_k}) - s_k m_k, where m_k = max_i (r_k - r_i), plus sft_weight * (n - 1)^2 *
    -logp of the best response (the first of equals; summed over tokens).

    `temperature="none"` leaves the reward margins out: the likelihood of the order of s, in which equal
    labels keep the order of the list. With margins, equals are not set against each other. Small margins
    shrink all logits towards 0, where a term is the constant log of its size.

    The paper's rewards are raw scores: `pipeline=[label_transform] pipeline.label_transform.to=raw` makes them the
    labels, which most sources map to [0, 1].

    Reports `margin`, the mean of m over the responses that are better than another, where margins are taken.

    >>> import torch
    >>> y = torch.tensor([[1.0, 0.0]])
    >>> pro(torch.tensor([[-2.0, -6.0]]), 2 + 0 * y, y, y >= 0, sft_weight=0.0)[0]  # softplus(-2)
    tensor([0.1269])
    """
    scores_BK = logps / lengths.clamp(min=1)
    reports: Reports = {}
    if one_of("temperature", temperature, ("reward", "none")) == "reward":
        worse_BKK = ordered(labels, where)
        margins_BKK = gaps(labels).masked_fill(~worse_BKK, 0)
        order_B = _margin_nll(scores_BK, margins_BKK, worse_BKK, where)
        reports = {"margin": (margins_BKK.amax(dim=2).sum(dim=1), worse_BKK.any(dim=2).sum(dim=1))}
    else:
        order_B = order_nll(scores_BK, labels, where)
    top_B = logps.masked_fill(~is_top(labels, where), 0).sum(dim=1)
    others_B = where.sum(dim=1).to(logps.dtype) - 1
    return order_B - sft_weight * others_B.square() * top_B, reports


def _margin_nll(scores_BK: Tensor, margins_BKK: Tensor, worse_BKK: Tensor, where: Tensor) -> Tensor:
    """The negative log-likelihood of the labelled order when each score is multiplied by a reward margin."""
    others_BKK = (scores_BK[:, None, :] * margins_BKK).masked_fill(~worse_BKK, LOWEST)
    own_BK1 = (scores_BK * margins_BKK.amax(dim=2))[:, :, None]
    losses_BK = torch.cat([own_BK1, others_BKK], dim=2).logsumexp(dim=2) - own_BK1.squeeze(2)
    return losses_BK.masked_fill(~where, 0).sum(dim=1)
