"""The loss of classifiers that learn from preferences within a class too."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from alignlab.settings import NonNegative
from alignlab.types import Reports


def p2c(
    class_logits: Float[Tensor, "B K C"],
    preference_values: Float[Tensor, "B K H"],
    ratings: Float[Tensor, "B K A"],
    labels: Float[Tensor, "B K"],
    where: Bool[Tensor, "B K"],
    *,
    consistency: NonNegative = 1.0,
    preference: NonNegative = 1.0,
    diversity: NonNegative = 0.1,
    tie: NonNegative = 0.0,
) -> tuple[tuple[Float[Tensor, "B"], Float[Tensor, "B"]], Reports]:
    """Prefer to Classify: of two responses of one class, the clearer one should be the more probable, arXiv:2306.04925.

    mean over responses of -log p_y + mean over pairs of one class of (consistency * max(0, p_y(worse) - p_y(better)) +
    preference * mean over heads h of -log sigmoid(o_h(better) - o_h(worse)) - diversity * mean over two heads of their
    cross-entropy, the target held fixed). A pair whose labels differ by `tie` at most has |p_y - p_y'| for the
    first, and half of both orders for the second.

    The class y is the first rating of a response, a number from 0; one that is NaN is not known, and counts for
    nothing. With all three weights at 0 it is plain cross-entropy.

    Reports `accuracy`, the share of responses whose likeliest class is right, and `consistency`, the share of pairs
    without a tie whose better response is the more probable one.

    >>> one = torch.zeros(1, 2, 1)
    >>> (values, _), _ = p2c(torch.zeros(1, 2, 2), one, one, torch.tensor([[1.0, 0.0]]), torch.ones(1, 2) > 0)
    >>> values
    tensor([1.3863])
    """
    classes_BK = ratings[..., 0]
    own_BKC = classes_BK[..., None] == torch.arange(class_logits.shape[-1], device=class_logits.device)
    known_BK = where & own_BKC.any(dim=-1)
    logps_BK = (class_logits.log_softmax(dim=-1) * own_BKC).sum(dim=-1)
    gaps_BKK = _gaps(logps_BK.exp()[..., None]).squeeze(-1)
    same_BKK = (
        (classes_BK[:, :, None] == classes_BK[:, None, :]) & known_BK[:, :, None] & known_BK[:, None, :]
    )
    same_BKK = same_BKK.tril(-1)
    leads_BKK = _gaps(labels[..., None]).squeeze(-1)
    order_BKK = leads_BKK.sign() * (leads_BKK.abs() > tie)
    losses_BKK = consistency * torch.where(order_BKK == 0, gaps_BKK.abs(), F.relu(-order_BKK * gaps_BKK))
    heads_BKKH = _gaps(preference_values)
    preferred_BKK1 = (1 + order_BKK[..., None]) / 2
    losses_BKK = losses_BKK + preference * (F.softplus(heads_BKKH) - preferred_BKK1 * heads_BKKH).mean(dim=-1)
    losses_BKK = losses_BKK - diversity * disagreement(heads_BKKH)
    values_B = _mean(-logps_BK, known_BK) + _mean(losses_BKK.flatten(1), same_BKK.flatten(1))
    decided_BKK = same_BKK & (order_BKK != 0)
    right_BKK = decided_BKK & (order_BKK * gaps_BKK > 0)
    hits_BK = known_BK & own_BKC.gather(-1, class_logits.argmax(dim=-1, keepdim=True)).squeeze(-1)
    counts_B = (where & ~classes_BK.isnan()).any(dim=1).to(values_B.dtype)
    return (values_B, counts_B), {
        "accuracy": (hits_BK.sum(dim=1), known_BK.sum(dim=1)),
        "consistency": (right_BKK.sum(dim=(1, 2)), decided_BKK.sum(dim=(1, 2))),
    }


def disagreement(logits: Float[Tensor, "*N H"]) -> Float[Tensor, "*N"]:
    """Return the mean cross-entropy of every two heads, the target held fixed; 0 for one head.

    Heads that agree have the entropy of their preference.

    >>> disagreement(torch.zeros(1, 2))
    tensor([0.6931])
    """
    heads = logits.shape[-1]
    if heads < 2:
        return logits.new_zeros(logits.shape[:-1])
    targets = logits.detach().sigmoid()
    normalizers = (heads - 1) * F.softplus(logits).sum(dim=-1)
    others = targets.sum(dim=-1, keepdim=True) - targets
    return (normalizers - (others * logits).sum(dim=-1)) / (heads * (heads - 1))


def _gaps(values: Float[Tensor, "B K *X"]) -> Float[Tensor, "B K K *X"]:
    return values[:, :, None] - values[:, None, :]


def _mean(values: Float[Tensor, "B n"], counted: Bool[Tensor, "B n"]) -> Float[Tensor, "B"]:
    """The mean of what is counted; 0 where nothing is."""
    return values.masked_fill(~counted, 0).sum(dim=1) / counted.sum(dim=1).clamp(min=1)
