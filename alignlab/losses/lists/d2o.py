"""Distributional dispreference optimization: one human response, a bad one, against the model's own."""

from collections.abc import Callable
from functools import partial
from typing import Annotated

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from alignlab.errors import ConfigError, one_of
from alignlab.settings import PositiveNumber, whole
from alignlab.types import Reports

Values = Callable[..., tuple[Float[Tensor, "B"], Reports]]


def d2o(
    *, beta: PositiveNumber = 0.1, alpha: PositiveNumber = 0.1, references: Annotated[int, whole(1, 2)] = 1
) -> Values:
    """Distributional dispreference optimization, D2O, arXiv:2403.03419.

    -log sigmoid(beta * mean over k of [logp_k - r_k] - alpha * [logp_l - r_l]): l is the response with
    the lowest label (the last of equals), the human negative, and k runs over the others, samples of the
    model itself.

    A list whose labels are all equal has no negative and is worth 0. `references=1`: r is the
    log-probability under the reference. `references=2`: under the reference (the paper's r^-, which knows
    the harm) for k, and under the one of `reference.others` (r^+) for l. With K = 2, alpha = beta and one
    reference the loss is `dpo`. The paper draws the samples anew while it trains; here they are those of the data
    (`pipeline=[negatives_only]`).

    Reports `samples` and `negative`, the log-ratios of both sides in nats: the mean over the samples of a list, and
    that of its negative.

    >>> s, y = torch.zeros(1, 3), torch.tensor([[1.0, 1.0, 0.0]])
    >>> d2o()(s, y, y >= 0)[0]
    tensor([0.6931])
    """
    if one_of("references", str(references), ("1", "2")) == "1":
        return partial(against_one, beta=beta, alpha=alpha)
    return partial(against_two, beta=beta, alpha=alpha)


def against_one(
    logratios: Float[Tensor, "B K"],
    labels: Float[Tensor, "B K"],
    where: Bool[Tensor, "B K"],
    *,
    beta: PositiveNumber = 0.1,
    alpha: PositiveNumber = 0.1,
) -> tuple[Float[Tensor, "B"], Reports]:
    """The D2O loss with one reference for the samples and the negative."""
    is_negative_BK = _is_negative(labels, where)
    is_sample_BK = where & ~is_negative_BK
    samples_B = logratios.masked_fill(~is_sample_BK, 0).sum(dim=1) / is_sample_BK.sum(dim=1).clamp(min=1)
    negative_B = logratios.masked_fill(~is_negative_BK, 0).sum(dim=1)
    losses_B = -F.logsigmoid(beta * samples_B - alpha * negative_B)
    has_negative_B = is_negative_BK.any(dim=1)
    reports = {
        "samples": (samples_B * has_negative_B, has_negative_B),
        "negative": (negative_B, has_negative_B),
    }
    return losses_B.masked_fill(~has_negative_B, 0), reports


def against_two(
    logps: Float[Tensor, "B K"],
    ref_logps: Float[Tensor, "B K"],
    other_ref_logps: Float[Tensor, "B K R"],
    labels: Float[Tensor, "B K"],
    where: Bool[Tensor, "B K"],
    *,
    beta: PositiveNumber = 0.1,
    alpha: PositiveNumber = 0.1,
) -> tuple[Float[Tensor, "B"], Reports]:
    """The D2O loss with another reference for the negative."""
    if other_ref_logps.shape[2] != 1:
        raise ConfigError(
            f"d2o takes one reference beside the first, and reference.others has {other_ref_logps.shape[2]}"
        )
    references_BK = torch.where(_is_negative(labels, where), other_ref_logps[:, :, 0], ref_logps)
    return against_one(logps - references_BK, labels, where, beta=beta, alpha=alpha)


def _is_negative(labels: Tensor, where: Tensor) -> Tensor:
    """True on the last of the lowest labels of each list; nowhere in a list of equal labels."""
    worst_B1 = labels.masked_fill(~where, torch.inf).amin(dim=1, keepdim=True)
    best_B1 = labels.masked_fill(~where, -torch.inf).amax(dim=1, keepdim=True)
    lowest_BK = where & (labels == worst_B1) & (best_B1 > worst_B1)
    later_BK = lowest_BK.flip(1).cumsum(dim=1).flip(1)
    return lowest_BK & (later_BK == 1)
