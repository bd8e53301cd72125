"""Alignment via optimal transport: the chosen as a whole are to dominate the rejected as a whole.

Both losses sort two sides of all pairs of the optimizer step and compare equals in rank. A pair of
weight w has mass w. With one pair in the step they are DPO; tiny steps are biased towards it.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from alignlab.objective.gathered import Gathered
from alignlab.objective.numeric import soft_label
from alignlab.settings import ErrorRate, PositiveNumber
from alignlab.types import Reports


class AOT(nn.Module):
    """Paired alignment via optimal transport, arXiv:2406.05882.

    Mean over ranks of -log sigmoid(beta * (u_(k) - v_(k))), where u = chosen_logp - rejected_logp under
    the policy and v is that margin under the reference, each sorted over the whole step.

    `epsilon` smooths the labels: (1 - epsilon) of this loss and epsilon of the loss with its sign turned.
    Among equals, which is paired with which is arbitrary. With one pair in the step the loss is `dpo`,
    and with an epsilon `cdpo`.

    Reports `dominated`, the share of ranks at which the policy's margin is above the reference's.

    >>> one = torch.ones(1)
    >>> loss = AOT(beta=0.1)
    >>> gathered = Gathered(loss.contribute(one, 0 * one, 0 * one, 0 * one), one)
    >>> loss(one, 0 * one, gathered)[0]
    tensor([0.6444])
    """

    def __init__(self, *, beta: PositiveNumber = 0.01, epsilon: ErrorRate = 0.0) -> None:
        super().__init__()
        self.beta, self.epsilon = beta, epsilon

    def contribute(
        self,
        chosen_logps: Float[Tensor, "P"],
        rejected_logps: Float[Tensor, "P"],
        chosen_ref_logps: Float[Tensor, "P"],
        rejected_ref_logps: Float[Tensor, "P"],
    ) -> Float[Tensor, "P 2"]:
        """The margins of each pair under the policy and under the reference, `[P, 2]`, in nats."""
        return torch.stack([chosen_logps - rejected_logps, chosen_ref_logps - rejected_ref_logps], dim=1)

    def forward(
        self, chosen_logps: Float[Tensor, "P"], rejected_logps: Float[Tensor, "P"], gathered: Gathered
    ) -> tuple[Float[Tensor, "P"], Reports]:
        """The loss of each pair, `[P]`, by its margin under the policy."""
        policy_n, reference_n = gathered.rows.detach().unbind(dim=1)
        shares_Pn = couple(policy_n, reference_n, gathered, len(chosen_logps))
        margins_Pn = (chosen_logps - rejected_logps)[:, None] - reference_n
        losses_P = (shares_Pn * soft_label(self.beta * margins_Pn, 1 - self.epsilon)).sum(dim=1)
        return losses_P, {"dominated": (shares_Pn * (margins_Pn > 0)).sum(dim=1)}


class UnpairedAOT(nn.Module):
    """Unpaired alignment via optimal transport, arXiv:2406.05882.

    Mean over ranks of -log sigmoid(beta * (d_w_(k) - d_l_(k))), where d are the log-ratios of the chosen
    and of the rejected, each sorted over the whole step.

    `epsilon` smooths the labels: (1 - epsilon) of this loss and epsilon of the loss with its sign turned.
    With one pair in the step the loss is `dpo`.

    Reports `dominated`, the share of ranks at which the log-ratio of the chosen is above that of the rejected.

    >>> one = torch.ones(1)
    >>> loss = UnpairedAOT(beta=0.1)
    >>> loss(0.5 * one, -0.5 * one, Gathered(loss.contribute(0.5 * one, -0.5 * one), one))[0]
    tensor([0.6444])
    """

    def __init__(self, *, beta: PositiveNumber = 0.01, epsilon: ErrorRate = 0.0) -> None:
        super().__init__()
        self.beta, self.epsilon = beta, epsilon

    def contribute(
        self, chosen_logratios: Float[Tensor, "P"], rejected_logratios: Float[Tensor, "P"]
    ) -> Float[Tensor, "P 2"]:
        """The log-ratios of the two sides of each pair, `[P, 2]`, in nats."""
        return torch.stack([chosen_logratios, rejected_logratios], dim=1)

    def forward(
        self,
        chosen_logratios: Float[Tensor, "P"],
        rejected_logratios: Float[Tensor, "P"],
        gathered: Gathered,
    ) -> tuple[Float[Tensor, "P"], Reports]:
        """The loss of each pair, `[P]`, by its chosen side, with the gradients of both sides."""
        chosen_n, rejected_n = gathered.rows.detach().unbind(dim=1)
        pairs = len(chosen_logratios)
        better_Pn = chosen_logratios[:, None] - rejected_n
        worse_Pn = chosen_n - rejected_logratios[:, None]
        shares_Pn = couple(chosen_n, rejected_n, gathered, pairs)
        chosen_P = self._values(better_Pn, shares_Pn)
        rejected_P = self._values(worse_Pn, couple(rejected_n, chosen_n, gathered, pairs))
        losses_P = chosen_P + (rejected_P - rejected_P.detach())  # over the step both have the same sum
        return losses_P, {"dominated": (shares_Pn * (better_Pn > 0)).sum(dim=1)}

    def _values(self, margins_Pn: Tensor, shares_Pn: Tensor) -> Tensor:
        return (shares_Pn * soft_label(self.beta * margins_Pn, 1 - self.epsilon)).sum(dim=1)


def couple(
    own: Float[Tensor, "n"], other: Float[Tensor, "n"], gathered: Gathered, pairs: int
) -> Float[Tensor, "P n"]:
    """The shares of each pair's mass that meet each element of the other side, `[P, n]`, for this micro-batch.

    Both sides are laid out in ascending order on one line, each element as long as its weight; masses
    that overlap meet.

    With equal weights rank meets rank.
    """
    weights_n = gathered.weights
    mine = slice(gathered.start, gathered.start + pairs)
    starts_n, ends_n = _places(other, weights_n)
    own_starts_P, own_ends_P = (places[mine, None] for places in _places(own, weights_n))
    overlaps_Pn = torch.minimum(own_ends_P, ends_n) - torch.maximum(own_starts_P, starts_n)
    masses_P1 = weights_n[mine, None]
    return overlaps_Pn.clamp(min=0) / torch.where(masses_P1 > 0, masses_P1, torch.ones_like(masses_P1))


def _places(values_n: Tensor, weights_n: Tensor) -> tuple[Tensor, Tensor]:
    """Where each element starts and ends when all are laid out in ascending order."""
    order_n = values_n.argsort(stable=True)
    ends_n = torch.empty_like(weights_n).scatter(0, order_n, weights_n[order_n].cumsum(dim=0))
    return ends_n - weights_n, ends_n
