"""Losses on single responses that are desirable or not: one value a response, `[B, K]`.

The mean over all responses is what the papers minimize, so that a pair is worth half the sum of its
two sides.
"""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from alignlab.errors import one_of
from alignlab.objective.gathered import Gathered

Values = Callable[..., Float[Tensor, "B K"]]
SMALL = 1e-8
"""Keeps the odds of a sure probability finite."""


def kto(
    *,
    beta: float = 0.1,
    desirable_weight: float = 1.0,
    undesirable_weight: float = 1.0,
    z0: str = "mismatched",
) -> Values:
    """Kahneman-Tversky optimization, arXiv:2402.01306 eq. 8.

    desirable_weight * (1 - sigmoid(beta * (logratio - z0))) for a desirable response, and
    undesirable_weight * (1 - sigmoid(beta * (z0 - logratio))) for one that is not.

    `z0="mismatched"` estimates the divergence of the policy, in nats: the mean log-ratio of responses
    to other prompts over the whole step, at least 0, without gradient. `z0="zero"` saves those
    forwards; a pair is then worth half of APO-zero. Gradients saturate on both sides.

    >>> d = torch.zeros(1, 2)
    >>> kto(z0="zero")(d, torch.tensor([[1.0, 0.0]]), d == 0)
    tensor([[0.5000, 0.5000]])
    """
    loss = partial(
        kto_at_zero, beta=beta, desirable_weight=desirable_weight, undesirable_weight=undesirable_weight
    )
    return loss if one_of("z0", z0, ("mismatched", "zero")) == "zero" else KTO(loss)


class KTO(nn.Module):
    """KTO with the divergence estimated over the whole optimizer step."""

    def __init__(self, loss: Values) -> None:
        super().__init__()
        self.loss = loss

    def contribute(
        self, mismatched_logps: Float[Tensor, "B"], mismatched_ref_logps: Float[Tensor, "B"]
    ) -> Float[Tensor, "B"]:
        """Log-ratios of responses to other prompts."""
        return mismatched_logps - mismatched_ref_logps

    def forward(
        self,
        logratios: Float[Tensor, "B K"],
        desirable: Float[Tensor, "B K"],
        where: Bool[Tensor, "B K"],
        gathered: Gathered,
    ) -> Float[Tensor, "B K"]:
        """One value a response."""
        z0 = gathered.mean.detach().clamp(min=0)
        return self.loss(logratios - z0, desirable, where)


def kto_at_zero(
    logratios: Float[Tensor, "B K"],
    desirable: Float[Tensor, "B K"],
    where: Bool[Tensor, "B K"],
    *,
    beta: float = 0.1,
    desirable_weight: float = 1.0,
    undesirable_weight: float = 1.0,
) -> Float[Tensor, "B K"]:
    """KTO with its reference point at 0."""
    weights_BK = desirable_weight * desirable + undesirable_weight * (1 - desirable)
    values_BK = weights_BK * torch.sigmoid(beta * (1 - 2 * desirable) * logratios)
    return values_BK.masked_fill(~where, 0)


def bco(
    *,
    beta: float = 0.1,
    delta: str = "batch",
    udm: bool = False,
    udm_min: float = 0.5,
    udm_max: float = 10.0,
) -> Values:
    """Binary classifier optimization, arXiv:2404.04656.

    -log sigmoid(r - delta) for a desirable response, -log sigmoid(delta - r) for one that is not;
    r = beta * logratio, and no gradient flows through delta.

    `delta="batch"` (the paper): (mean r of the desirable + mean r of the others) / 2 over the whole
    step; of one class alone, its mean. `delta="running"` (the authors' code): the mean of all rewards
    seen in training, those of this step included. `delta="none"`: 0. The two sides of a pair add up
    to no less than DPO, whatever delta is.

    `udm=True` corrects for desirable and undesirable data that differ in their prompts: undesirable
    responses are weighted by the odds p / (1 - p) that the prompt is one of the desirable data,
    clamped to [`udm_min`, `udm_max`].

    >>> d = torch.zeros(1, 2)
    >>> bco(delta="none")(d, torch.tensor([[1.0, 0.0]]), d == 0)
    tensor([[0.6931, 0.6931]])
    """
    has_shift = one_of("delta", delta, ("batch", "running", "none")) != "none"
    if udm:
        matched = partial(bco_at_zero_matched, beta=beta, udm_min=udm_min, udm_max=udm_max)
        return MatchedBCO(matched, running=delta == "running") if has_shift else matched
    loss = partial(bco_at_zero, beta=beta)
    return BCO(loss, running=delta == "running") if has_shift else loss


class Shifted(nn.Module):
    """BCO's reward shift, from the rewards of the whole optimizer step or of all steps so far."""

    mean: Tensor
    count: Tensor

    def __init__(self, loss: Values, *, running: bool) -> None:
        super().__init__()
        self.loss, self.running = loss, running
        if running:
            self.register_buffer("mean", torch.zeros((), dtype=torch.float64))
            self.register_buffer("count", torch.zeros((), dtype=torch.float64))

    def contribute(
        self, logratios: Float[Tensor, "B K"], desirable: Float[Tensor, "B K"]
    ) -> Float[Tensor, "B K 2"]:
        """Log-ratios, and whether the response is desirable."""
        return torch.stack([logratios, desirable], dim=2)

    def absorb(self, gathered: Gathered) -> None:
        """Take the rewards of a step into the running mean."""
        if self.running:
            added = gathered.weights.sum().double()
            self.count += added
            self.mean += (gathered.mean[0].double() - self.mean) * added / self.count.clamp(min=SMALL)

    def shift(self, gathered: Gathered) -> Float[Tensor, ""]:
        """The shift, in nats of log-ratio."""
        if self.running:
            return self.mean.to(gathered.rows.dtype)
        logratios_n, desirable_n = gathered.rows.detach().unbind(dim=1)
        sides = [Gathered(logratios_n, gathered.weights * share) for share in (desirable_n, 1 - desirable_n)]
        present = torch.stack([side.weights.sum() > 0 for side in sides]).sum()
        return (sides[0].mean + sides[1].mean) / present.clamp(min=1)


class BCO(Shifted):
    """BCO with a reward shift."""

    def forward(
        self,
        logratios: Float[Tensor, "B K"],
        desirable: Float[Tensor, "B K"],
        where: Bool[Tensor, "B K"],
        gathered: Gathered,
    ) -> Float[Tensor, "B K"]:
        """One value a response."""
        return self.loss(logratios - self.shift(gathered), desirable, where)


class MatchedBCO(Shifted):
    """BCO with a reward shift, the underlying distributions matched."""

    def forward(
        self,
        logratios: Float[Tensor, "B K"],
        desirable: Float[Tensor, "B K"],
        desirable_probs: Float[Tensor, "B K"],
        where: Bool[Tensor, "B K"],
        gathered: Gathered,
    ) -> Float[Tensor, "B K"]:
        """One value a response."""
        return self.loss(logratios - self.shift(gathered), desirable, desirable_probs, where)


def bco_at_zero(
    logratios: Float[Tensor, "B K"],
    desirable: Float[Tensor, "B K"],
    where: Bool[Tensor, "B K"],
    *,
    beta: float = 0.1,
) -> Float[Tensor, "B K"]:
    """BCO without a reward shift."""
    return -F.logsigmoid(beta * (2 * desirable - 1) * logratios).masked_fill(~where, 0)


def bco_at_zero_matched(
    logratios: Float[Tensor, "B K"],
    desirable: Float[Tensor, "B K"],
    desirable_probs: Float[Tensor, "B K"],
    where: Bool[Tensor, "B K"],
    *,
    beta: float = 0.1,
    udm_min: float = 0.5,
    udm_max: float = 10.0,
) -> Float[Tensor, "B K"]:
    """BCO without a reward shift, the underlying distributions matched."""
    odds_BK = (desirable_probs / (1 - desirable_probs + SMALL)).clamp(udm_min, udm_max)
    weights_BK = desirable + (1 - desirable) * odds_BK
    return weights_BK * bco_at_zero(logratios, desirable, where, beta=beta)
