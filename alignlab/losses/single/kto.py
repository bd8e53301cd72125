"""Kahneman-Tversky optimization on single responses that are desirable or not.

The loss has one value a response, `[B, K]`; the papers minimize the mean over all responses, so that a
pair is worth half the sum of its two sides.
"""

from collections.abc import Callable
from functools import partial

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from alignlab.errors import one_of
from alignlab.objective.gathered import Gathered
from alignlab.settings import NonNegative, PositiveNumber
from alignlab.types import Reports

Values = Callable[..., Float[Tensor, "B K"] | tuple[Float[Tensor, "B K"], Reports]]


def kto(
    *,
    beta: PositiveNumber = 0.1,
    desirable_weight: NonNegative = 1.0,
    undesirable_weight: NonNegative = 1.0,
    z0: str = "mismatched",
) -> Values:
    """Kahneman-Tversky optimization, arXiv:2402.01306 eq. 8.

    desirable_weight * (1 - sigmoid(beta * (logratio - z0))) for a desirable response, and
    undesirable_weight * (1 - sigmoid(beta * (z0 - logratio))) for one that is not.

    `z0="mismatched"` estimates the divergence of the policy, in nats: the mean log-ratio of responses to
    other prompts over the whole step, at least 0, without gradient. `z0="zero"` saves those forwards; a
    pair is then worth half of APO-zero. Gradients saturate on both sides.

    Reports `z0`, the divergence of the step in nats, where it is estimated.

    >>> d = torch.zeros(1, 2)
    >>> kto(z0="zero")(d, torch.tensor([[1.0, 0.0]]), d == 0)
    tensor([[0.5000, 0.5000]])
    """
    loss = partial(
        kto_at_zero, beta=beta, desirable_weight=desirable_weight, undesirable_weight=undesirable_weight
    )
    return loss if one_of("z0", z0, ("mismatched", "zero")) == "zero" else KTO(loss)


class KTO(nn.Module):
    """The KTO loss whose reference point z0 is estimated over the whole optimizer step."""

    def __init__(self, loss: Callable[..., Float[Tensor, "B K"]]) -> None:
        super().__init__()
        self.loss = loss

    def contribute(
        self, mismatched_logps: Float[Tensor, "B"], mismatched_ref_logps: Float[Tensor, "B"]
    ) -> Float[Tensor, "B"]:
        """The log-ratios of responses to other prompts, `[B]`, in nats."""
        return mismatched_logps - mismatched_ref_logps

    def forward(
        self,
        logratios: Float[Tensor, "B K"],
        desirable: Float[Tensor, "B K"],
        where: Bool[Tensor, "B K"],
        gathered: Gathered,
    ) -> tuple[Float[Tensor, "B K"], Reports]:
        """The loss of each response, `[B, K]`."""
        z0 = gathered.mean.detach().clamp(min=0)
        return self.loss(logratios - z0, desirable, where), {"z0": z0}


def kto_at_zero(
    logratios: Float[Tensor, "B K"],
    desirable: Float[Tensor, "B K"],
    where: Bool[Tensor, "B K"],
    *,
    beta: PositiveNumber = 0.1,
    desirable_weight: NonNegative = 1.0,
    undesirable_weight: NonNegative = 1.0,
) -> Float[Tensor, "B K"]:
    """The KTO loss of each response, `[B, K]`, with the reference point z0 at 0."""
    weights_BK = desirable_weight * desirable + undesirable_weight * (1 - desirable)
    values_BK = weights_BK * torch.sigmoid(beta * (1 - 2 * desirable) * logratios)
    return values_BK.masked_fill(~where, 0)
