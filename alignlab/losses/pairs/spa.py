"""SPA's self-refinement: DPO that takes back part of a self-made label where the policy has come to doubt it."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from alignlab.objective.gathered import Gathered
from alignlab.objective.numeric import soft_label
from alignlab.settings import ErrorRate, NonNegative, Positive, PositiveNumber, Share, ShareBelowOne
from alignlab.types import Reports


def spa(
    *,
    beta: PositiveNumber = 0.1,
    alpha: ErrorRate = 0.1,
    percentile: ShareBelowOne = 0.1,
    window: Positive = 50,
    quiet: Share = 0.2,
    decoupling: NonNegative = 0.0,
) -> nn.Module:
    """Self-refinement of SPA (Selfie), arXiv:2406.04412: labels that the policy made itself, smoothed where in doubt.

    -(1 - s) log sigmoid(m) - s log sigmoid(-m), where m = beta * (chosen_logratio - rejected_logratio), and s is
    `alpha` where the margin is not above a threshold, else 0.

    The threshold is the `percentile` of the margins of the last `window` pairs of the optimizer steps before this one,
    and 0 until there are as many. In the first share `quiet` of the run nothing is smoothed. With `decoupling` lambda
    above 0 the margin that is held against the threshold is that of the logits (1 + lambda) policy - lambda reference,
    which undoes what the reference and the policy share; the loss itself is of the policy's own. No gradient flows
    through s. With alpha = 0 the loss is `dpo`.

    The released code keeps the mean margins of micro-batches, on each process; in its settings they hold one pair each,
    and the thresholds are the same.

    Reports `threshold` and `doubted_margin`, the mean of the margins that are held against it, in units of the loss,
    and `smoothed`, the share of pairs whose label is smoothed.
    """
    refined = Decoupled if decoupling else Refined
    return refined(beta=beta, alpha=alpha, percentile=percentile, window=window, quiet=quiet)


class Refined(nn.Module):
    """The loss whose margins are those of the policy itself."""

    margins: Tensor
    seen: Tensor
    threshold: Tensor

    def __init__(self, *, beta: float, alpha: float, percentile: float, window: int, quiet: float) -> None:
        super().__init__()
        self.beta, self.alpha, self.percentile, self.quiet = beta, alpha, percentile, quiet
        self.register_buffer("margins", torch.zeros(window, dtype=torch.float64))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))
        self.register_buffer("threshold", torch.zeros((), dtype=torch.float64))

    def contribute(
        self, chosen_logratios: Float[Tensor, "P"], rejected_logratios: Float[Tensor, "P"]
    ) -> Float[Tensor, "P"]:
        """The margin of each pair that is held against the threshold."""
        return self.beta * (chosen_logratios - rejected_logratios)

    def absorb(self, gathered: Gathered) -> None:
        """Set the threshold by the pairs before this step, and keep this step's margins.

        They are kept in an order of their values that is drawn, and not in that of the micro-batches, on which nothing
        depends; of more pairs than the window holds, so many are drawn.
        """
        size, seen = len(self.margins), int(self.seen)
        if seen >= size:
            self.threshold.fill_(percentile_of(self.margins, self.percentile))
        own = gathered.rows[gathered.weights > 0].double().sort().values
        drawn = torch.randperm(len(own), generator=torch.Generator().manual_seed(seen))[:size]
        self.margins[(seen + torch.arange(len(drawn))) % size] = own[drawn.to(own.device)]
        self.seen += len(drawn)

    def forward(
        self,
        chosen_logratios: Float[Tensor, "P"],
        rejected_logratios: Float[Tensor, "P"],
        gathered: Gathered,
        progress: float = 1.0,
    ) -> tuple[Float[Tensor, "P"], Reports]:
        """The loss of each pair, `[P]`."""
        doubted = self.contribute(chosen_logratios, rejected_logratios)
        return self.refined(chosen_logratios, rejected_logratios, doubted, gathered, progress)

    def refined(
        self, chosen: Tensor, rejected: Tensor, doubted: Tensor, gathered: Gathered, progress: float
    ) -> tuple[Float[Tensor, "P"], Reports]:
        """The loss of each pair from its log-ratios and its margin in doubt."""
        alpha = self.alpha if progress >= self.quiet else 0.0
        below = (doubted.detach() <= self.threshold).to(chosen.dtype)
        loss = soft_label(self.beta * (chosen - rejected), 1 - alpha * below)
        smoothed = below if alpha else torch.zeros_like(below)
        return loss, {
            "threshold": self.threshold.to(chosen.dtype),
            "doubted_margin": gathered.mean,
            "smoothed": smoothed,
        }


class Decoupled(Refined):
    """The loss whose margins in doubt are those of logits moved away from the reference's."""

    def contribute(  # type: ignore[override]
        self,
        chosen_decoupled_logps: Float[Tensor, "P"],
        rejected_decoupled_logps: Float[Tensor, "P"],
        chosen_ref_logps: Float[Tensor, "P"],
        rejected_ref_logps: Float[Tensor, "P"],
    ) -> Float[Tensor, "P"]:
        """The margin of each pair that is held against the threshold."""
        chosen = chosen_decoupled_logps - chosen_ref_logps
        return self.beta * (chosen - (rejected_decoupled_logps - rejected_ref_logps))

    def forward(  # type: ignore[override]
        self,
        chosen_logps: Float[Tensor, "P"],
        rejected_logps: Float[Tensor, "P"],
        chosen_decoupled_logps: Float[Tensor, "P"],
        rejected_decoupled_logps: Float[Tensor, "P"],
        chosen_ref_logps: Float[Tensor, "P"],
        rejected_ref_logps: Float[Tensor, "P"],
        gathered: Gathered,
        progress: float = 1.0,
    ) -> tuple[Float[Tensor, "P"], Reports]:
        """The loss of each pair, `[P]`."""
        doubted = self.contribute(
            chosen_decoupled_logps, rejected_decoupled_logps, chosen_ref_logps, rejected_ref_logps
        )
        chosen, rejected = chosen_logps - chosen_ref_logps, rejected_logps - rejected_ref_logps
        return self.refined(chosen, rejected, doubted, gathered, progress)


def percentile_of(margins: Float[Tensor, "W"], share: float) -> Float[Tensor, ""]:
    """Return the mean of the margins at place W * share, rounded down, of the sorted ones, and of that which follows.

    >>> float(percentile_of(torch.tensor([3.0, 0.0, 1.0, 2.0]), 0.25))
    1.5
    """
    ordered, place = margins.sort().values, int(len(margins) * share)
    return (ordered[place] + ordered[min(place + 1, len(margins) - 1)]) / 2
