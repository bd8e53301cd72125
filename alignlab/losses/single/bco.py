"""Binary classifier optimization on single responses that are desirable or not.

The loss has one value a response, `[B, K]`; the papers minimize the mean over all responses, so that a
pair is worth half the sum of its two sides.
"""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from alignlab.errors import one_of
from alignlab.objective.gathered import Gathered
from alignlab.settings import NonNegative, PositiveNumber
from alignlab.types import Reports

Values = Callable[..., Float[Tensor, "B K"] | tuple[Float[Tensor, "B K"], Reports]]

SMALL = 1e-8
"""Keeps the odds of a sure probability finite."""


def bco(
    *,
    beta: PositiveNumber = 0.1,
    delta: str = "batch",
    udm: bool = False,
    udm_min: NonNegative = 0.5,
    udm_max: PositiveNumber = 10.0,
) -> Values:
    """Binary classifier optimization, arXiv:2404.04656.

    -log sigmoid(r - delta) for a desirable response, -log sigmoid(delta - r) for one that is not; r =
    beta * logratio, and no gradient flows through delta.

    `delta="batch"` (the paper): (mean r of the desirable + mean r of the others) / 2 over the whole step;
    of one class alone, its mean. `delta="running"` (the authors' code): the mean of all rewards seen in
    training, those of this step included. `delta="none"`: 0. The two sides of a pair add up to no less
    than DPO, whatever delta is.

    `udm=True` corrects for desirable and undesirable data that differ in their prompts: undesirable
    responses are weighted by the odds p / (1 - p) that the prompt is one of the desirable data, which are the
    ratio of the two densities of prompts, clamped to [`udm_min`, `udm_max`]. The pipeline step
    `desirable_probs` computes p.

    Reports `delta`, where there is one, in nats of log-ratio (delta / beta), and `odds`, the mean weight of undesirable
    responses, where they are weighted.

    >>> d = torch.zeros(1, 2)
    >>> bco(delta="none")(d, torch.tensor([[1.0, 0.0]]), d == 0)
    tensor([[0.6931, 0.6931]])
    """
    has_shift = one_of("delta", delta, ("batch", "running", "none")) != "none"
    running = delta == "running"
    if not udm:
        return BCO(beta=beta, running=running) if has_shift else partial(bco_at_zero, beta=beta)
    if has_shift:
        return MatchedBCO(beta=beta, running=running, udm_min=udm_min, udm_max=udm_max)
    return partial(bco_at_zero_matched, beta=beta, udm_min=udm_min, udm_max=udm_max)


class Shifted(nn.Module):
    """The reward shift of BCO, from the rewards of the whole optimizer step or of all steps so far."""

    mean: Tensor
    count: Tensor

    def __init__(self, *, beta: float, running: bool) -> None:
        super().__init__()
        self.beta, self.running = beta, running
        if running:
            self.register_buffer("mean", torch.zeros((), dtype=torch.float64))
            self.register_buffer("count", torch.zeros((), dtype=torch.float64))

    def contribute(
        self, logratios: Float[Tensor, "B K"], desirable: Float[Tensor, "B K"]
    ) -> Float[Tensor, "B K 2"]:
        """The log-ratio of each response, and whether it is desirable."""
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
    """The BCO loss with a reward shift."""

    def forward(
        self,
        logratios: Float[Tensor, "B K"],
        desirable: Float[Tensor, "B K"],
        where: Bool[Tensor, "B K"],
        gathered: Gathered,
    ) -> tuple[Float[Tensor, "B K"], Reports]:
        """The loss of each response, `[B, K]`."""
        shift = self.shift(gathered)
        return bco_at_zero(logratios - shift, desirable, where, beta=self.beta), {"delta": shift}


class MatchedBCO(Shifted):
    """The BCO loss with a reward shift and with the underlying distributions matched."""

    def __init__(self, *, beta: float, running: bool, udm_min: float, udm_max: float) -> None:
        super().__init__(beta=beta, running=running)
        self.udm_min, self.udm_max = udm_min, udm_max

    def forward(
        self,
        logratios: Float[Tensor, "B K"],
        desirable: Float[Tensor, "B K"],
        desirable_probs: Float[Tensor, "B K"],
        where: Bool[Tensor, "B K"],
        gathered: Gathered,
    ) -> tuple[Float[Tensor, "B K"], Reports]:
        """The loss of each response, `[B, K]`."""
        shift = self.shift(gathered)
        losses, reports = bco_at_zero_matched(
            logratios - shift,
            desirable,
            desirable_probs,
            where,
            beta=self.beta,
            udm_min=self.udm_min,
            udm_max=self.udm_max,
        )
        return losses, {**reports, "delta": shift}


def bco_at_zero(
    logratios: Float[Tensor, "B K"],
    desirable: Float[Tensor, "B K"],
    where: Bool[Tensor, "B K"],
    *,
    beta: PositiveNumber = 0.1,
) -> Float[Tensor, "B K"]:
    """The BCO loss of each response, `[B, K]`, without a reward shift."""
    return -F.logsigmoid(beta * (2 * desirable - 1) * logratios).masked_fill(~where, 0)


def bco_at_zero_matched(
    logratios: Float[Tensor, "B K"],
    desirable: Float[Tensor, "B K"],
    desirable_probs: Float[Tensor, "B K"],
    where: Bool[Tensor, "B K"],
    *,
    beta: PositiveNumber = 0.1,
    udm_min: NonNegative = 0.5,
    udm_max: PositiveNumber = 10.0,
) -> tuple[Float[Tensor, "B K"], Reports]:
    """The BCO loss of each response, `[B, K]`, without a reward shift and with the underlying distributions
    matched.
    """
    odds_BK = (desirable_probs / (1 - desirable_probs + SMALL)).clamp(udm_min, udm_max)
    undesirable_BK = 1 - desirable
    weights_BK = desirable + undesirable_BK * odds_BK
    losses_BK = weights_BK * bco_at_zero(logratios, desirable, where, beta=beta)
    return losses_BK, {"odds": (undesirable_BK * odds_BK, undesirable_BK)}
