"""Tree preference optimization: LiPO-lambda on the steps of responses that are leaves of one tree."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from alignlab.errors import one_of
from alignlab.losses.lists.lambda_weights import lambda_weights
from alignlab.losses.lists.masked_lists import gaps, is_top, over_pairs, sum_pairs
from alignlab.settings import Positive, PositiveNumber
from alignlab.types import Reports


def tpo_tree(
    step_logratios: Float[Tensor, "B K S"],
    step_lengths: Float[Tensor, "B K S"],
    step_cosines: Float[Tensor, "B K K S"],
    labels: Float[Tensor, "B K"],
    where: Bool[Tensor, "B K"],
    *,
    beta: PositiveNumber = 0.5,
    form: str = "paper",
    step_agg: str = "sum",
    emphasis: str = "same",
    gain: str = "exp2",
    discount: str = "ln",
    topn: Positive | None = None,
    normalize: bool = False,
    pair_mean: bool = False,
) -> tuple[Float[Tensor, "B"], Reports]:
    """Tree preference optimization, arXiv:2410.12854: LiPO-lambda with step-wise rewards.

    sum over label_i > label_j of D_ij * softplus(-m_ij), D as in `lipo_lambda`, ranks those of r.

    `form="paper"` (eq. 10): m_ij = beta * sum_k w_ijk (d_ik - d_jk) over the steps that both have, and
    r_i = beta * sum_k d_ik for the ranks: a step that all responses share cancels.

    `form="normalized"`: r_i = beta * sum_k w_ik d_ik / sum_k w_ik and m_ij = r_i - r_j, where w_ik
    compares step k with that of the best response (its own steps weigh the same; a step that it lacks
    counts nothing).

    `step_agg`: d is the sum of the log-ratios over the tokens of a step (as eq. 10 has it), or their mean.
    `emphasis`: w is 1 + cos of the mean hidden states (same), 1 - cos (different), or 1 (none). No
    gradient flows through w or D. With one step and emphasis none the loss is `lipo_lambda`. Labels are
    expected in [0, 1]; the other options are those of `lipo_lambda`.

    Reports `lambda_weight` and `step_weight`, the means over the ordered pairs of D, and of w over the steps that both
    responses have.

    >>> import torch
    >>> d, y = torch.zeros(1, 2, 3), torch.tensor([[1.0, 0.0]])
    >>> tpo_tree(d, d + 1, torch.ones(1, 2, 2, 3), y, y >= 0)[0]  # (1/ln 2 - 1/ln 3) * ln 2
    tensor([0.3691])
    """
    there_BKS = (step_lengths > 0) & where[:, :, None]
    steps_BKS = step_logratios.masked_fill(~there_BKS, 0)
    if one_of("step_agg", step_agg, ("mean", "sum")) == "mean":
        steps_BKS = steps_BKS / step_lengths.clamp(min=1)
    weights_BKKS = _weights(step_cosines.detach(), there_BKS, emphasis)
    if one_of("form", form, ("normalized", "paper")) == "paper":
        rewards_BK = beta * steps_BKS.sum(dim=2)
        margins_BKK = beta * (weights_BKKS * gaps(steps_BKS)).sum(dim=3)
    else:
        rewards_BK = beta * _score(steps_BKS, weights_BKKS, there_BKS, is_top(labels, where))
        margins_BKK = gaps(rewards_BK)
    lambdas_BKK = lambda_weights(
        rewards_BK, labels, where, gain=gain, discount=discount, topn=topn, normalize=normalize
    )
    shared_BKK = (there_BKS[:, :, None] & there_BKS[:, None, :]).sum(dim=3).clamp(min=1)
    reports = {
        "lambda_weight": over_pairs(lambdas_BKK, labels, where),
        "step_weight": over_pairs(weights_BKKS.sum(dim=3) / shared_BKK, labels, where),
    }
    return sum_pairs(lambdas_BKK * F.softplus(-margins_BKK), labels, where, pair_mean), reports


def _weights(cosines_BKKS: Tensor, there_BKS: Tensor, emphasis: str) -> Tensor:
    """How much a step counts between two responses; 0 where one of them lacks it."""
    sign = {"same": 1, "different": -1, "none": 0}[
        one_of("emphasis", emphasis, ("same", "different", "none"))
    ]
    both_BKKS = there_BKS[:, :, None] & there_BKS[:, None, :]
    return (1 + sign * cosines_BKKS).clamp(min=0).masked_fill(~both_BKKS, 0)


def _score(steps_BKS: Tensor, weights_BKKS: Tensor, there_BKS: Tensor, top_BK: Tensor) -> Tensor:
    """Mean over the steps of a response, weighted by how they compare with those of the best one."""
    lists, best = torch.arange(len(top_BK), device=top_BK.device), top_BK.int().argmax(dim=1)
    weights_BKS = torch.where(top_BK[:, :, None], there_BKS.to(steps_BKS.dtype), weights_BKKS[lists, best])
    return (weights_BKS * steps_BKS).sum(dim=2) / weights_BKS.sum(dim=2).clamp(min=1e-12)
