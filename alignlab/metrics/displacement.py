"""Likelihood displacement: where the probability goes that responses lose.

The chosen response grows less likely while the margin grows (arXiv:2410.08847); the probability that both
sides lose goes to responses that the data does not hold (3D-properties, arXiv:2406.07327).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

Pairs = Float[Tensor, "P"]
Distribution = Float[Tensor, "V"]


def displaced(chosen_change: Pairs, rejected_change: Pairs) -> Bool[Tensor, "P"]:
    """For each pair, whether chosen fell while the margin grew, from changes of log-probabilities in nats."""
    return (chosen_change < 0) & (chosen_change > rejected_change)


@dataclass(frozen=True)
class Displacement:
    """The change of a distribution over responses, of which one is chosen and one rejected."""

    chosen: float
    """The change of the log-probability of the chosen response, in nats."""
    rejected: float
    """The change of the log-probability of the rejected response, in nats."""
    unseen_mass: float
    """The probability that went to responses that are neither chosen nor rejected."""
    top_gainer: int
    """The number of the response whose probability grew most."""
    entropy_before: float
    """The entropy of the distribution before, in nats."""
    entropy_after: float
    """The entropy of the distribution after, in nats."""

    @property
    def margin(self) -> float:
        """The change of the log-probability margin, in nats."""
        return self.chosen - self.rejected

    @property
    def displaced(self) -> bool:
        """Whether the chosen response fell while the margin grew."""
        return bool(displaced(torch.tensor([self.chosen]), torch.tensor([self.rejected]))[0])


def displacement(
    before: Distribution, after: Distribution, *, chosen: int, rejected: int, unseen: Int[Tensor, "U"]
) -> Displacement:
    """Compare two distributions over the same responses, `[V]`; `unseen` are those neither chosen nor rejected."""
    change = after.log() - before.log()
    return Displacement(
        chosen=change[chosen].item(),
        rejected=change[rejected].item(),
        unseen_mass=(after - before)[unseen].sum().item(),
        top_gainer=int((after - before).argmax()),
        entropy_before=_entropy(before),
        entropy_after=_entropy(after),
    )


def _entropy(probabilities: Distribution) -> float:
    return -torch.special.xlogy(probabilities, probabilities).sum().item()


@dataclass(frozen=True)
class Mass:
    """The mean token probabilities over the positions at which tokens of chosen responses are predicted."""

    own: float
    """The mean probability of the token that the data has."""
    others: Float[Tensor, "V"]
    """The mean probability of every token where the data has another."""
    positions: int


def top_gaining(before: Mass, after: Mass, count: int) -> Int[Tensor, "N"]:
    """The tokens whose probability gained most where the data has another, the most first; none that lost."""
    gain = after.others - before.others
    best = gain.topk(min(count, len(gain)))
    return best.indices[best.values > 0]
