"""Where the probability goes: likelihood displacement.

Displacement: the chosen response grows less likely while the margin grows (arXiv:2410.08847); what both
sides lose goes to responses that the data does not hold (3D-properties, arXiv:2406.07327).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

Pairs = Float[Tensor, "P"]
Distribution = Float[Tensor, "V"]


def displaced(chosen_change: Pairs, rejected_change: Pairs) -> Bool[Tensor, "P"]:
    """Where the log-probability of chosen fell (nats, since the start) while the margin grew."""
    return (chosen_change < 0) & (chosen_change > rejected_change)


@dataclass(frozen=True)
class Displacement:
    """How training changed a distribution over responses, of which one is chosen and one rejected."""

    chosen: float
    """Change of the log-probability of the chosen response, nats."""
    rejected: float
    """Change of the log-probability of the rejected response, nats."""
    unseen_mass: float
    """Probability that went to responses that are neither."""
    top_gainer: int
    """The response whose probability grew most."""
    entropy_before: float
    """Entropy of the distribution before training, nats."""
    entropy_after: float
    """Entropy of the distribution after training, nats."""

    @property
    def margin(self) -> float:
        """Change of the log-probability margin, nats."""
        return self.chosen - self.rejected

    @property
    def displaced(self) -> bool:
        """Whether chosen fell while the margin grew."""
        return bool(displaced(torch.tensor([self.chosen]), torch.tensor([self.rejected]))[0])


def displacement(
    before: Distribution, after: Distribution, *, chosen: int, rejected: int, unseen: Int[Tensor, "U"]
) -> Displacement:
    """Compare two distributions over the same responses (probabilities that sum to 1)."""
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
    """Mean probabilities over the positions at which the tokens of chosen responses are predicted."""

    own: float
    """Probability of the token that the data has at a position."""
    others: Float[Tensor, "V"]
    """Probability of every token of the vocabulary at positions where the data has another."""
    positions: int


def top_gaining(before: Mass, after: Mass, count: int) -> Int[Tensor, "N"]:
    """Tokens whose probability gained most where the data has another, the first first; none that lost."""
    gain = after.others - before.others
    best = gain.topk(min(count, len(gain)))
    return best.indices[best.values > 0]
