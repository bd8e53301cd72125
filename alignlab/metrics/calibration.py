"""Calibration of rewards: whether sigmoid(reward of i - reward of j) is the probability that i is preferred to j.

Two forms of expected calibration error are in use, and they differ. The bins of `both_orders` of each pair
(MORE, arXiv:2312.07401) divide [0, 1]; `confidence` looks at max(p, 1 - p), and its bins divide [0.5, 1]. With
2n bins the first equals the second with n.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

Pairs = Float[Tensor, "P"]


@dataclass(frozen=True)
class Bins:
    """A reliability diagram: predicted probabilities and outcomes in bins; empty bins hold NaN."""

    edges: Float[Tensor, "N1"]
    counts: Float[Tensor, "N"]
    predicted: Float[Tensor, "N"]
    """The mean predicted probability of each bin."""
    observed: Float[Tensor, "N"]
    """The share of each bin that came true."""

    @property
    def ece(self) -> float:
        """The expected calibration error: the mean |predicted - observed| weighted by count; NaN without any pair."""
        gaps = (self.predicted - self.observed).abs().nan_to_num()
        return ((gaps * self.counts).sum() / self.counts.sum()).item()

    @property
    def mce(self) -> float:
        """The maximum calibration error: the largest |predicted - observed| of any bin."""
        return (self.predicted - self.observed).abs().nan_to_num().max().item()


def both_orders(margins: Pairs, *, bins: int = 10) -> Bins:
    """The reliability diagram of all pairs in both orders; `margins` are rewards of chosen minus rejected, in nats."""
    probabilities = torch.cat([margins.sigmoid(), (-margins).sigmoid()])
    outcomes = torch.cat([torch.ones_like(margins), torch.zeros_like(margins)])
    return reliability(probabilities, outcomes, torch.linspace(0, 1, bins + 1, dtype=margins.dtype))


def confidence(margins: Pairs, *, bins: int = 10) -> Bins:
    """The reliability diagram by the probability of the response that the rewards prefer; a tie is half right."""
    outcomes = (margins.sign() + 1) / 2
    return reliability(
        margins.abs().sigmoid(), outcomes, torch.linspace(0.5, 1, bins + 1, dtype=margins.dtype)
    )


def equal_mass(margins: Pairs, *, bins: int = 10) -> Bins:
    """The reliability diagram in both orders, with bins of equal counts: its error is the adaptive one (ACE)."""
    probabilities = torch.cat([margins.sigmoid(), (-margins).sigmoid()])
    outcomes = torch.cat([torch.ones_like(margins), torch.zeros_like(margins)])
    shares = torch.linspace(0, 1, bins + 1, dtype=margins.dtype)
    edges = probabilities.quantile(shares).unique() if len(margins) else shares  # type: ignore[no-untyped-call]
    return reliability(probabilities, outcomes, edges)


def reliability(probabilities: Pairs, outcomes: Pairs, edges: Float[Tensor, "N1"]) -> Bins:
    """The reliability diagram of probabilities and outcomes (0 or 1); one on an edge belongs to the bin below."""
    edges = edges.to(probabilities.device)
    bins = max(len(edges) - 1, 1)
    place = (torch.searchsorted(edges, probabilities.contiguous()) - 1).clamp(0, bins - 1)
    zeros = probabilities.new_zeros(bins)
    counts = zeros.index_add(0, place, torch.ones_like(probabilities))
    predicted, observed = (zeros.index_add(0, place, x) / counts for x in (probabilities, outcomes))
    return Bins(edges, counts, predicted, observed)


def brier(margins: Pairs) -> Pairs:
    """The Brier score (1 - sigmoid(margin))^2 of each pair; `margins` in nats."""
    return (-margins).sigmoid().square()


def nll(margins: Pairs) -> Pairs:
    """The negative log-likelihood -log sigmoid(margin) of each pair under a Bradley-Terry model, in nats."""
    return torch.nn.functional.softplus(-margins)


def fitted_temperature(margins: Pairs, *, steps: int = 60) -> float:
    """The temperature t > 0 for which sigmoid(margin / t) has the lowest mean `nll`; it changes no order.

    It is infinite where the wrong pairs outweigh the right ones, and 0 where all pairs are right.
    """
    if margins.sum() <= 0:
        return math.inf
    if (margins >= 0).all():
        return 0.0
    low, high = 1e-6, 1e6  # of 1 / t; the slope of the convex mean nll changes sign once
    for _ in range(steps):
        middle = math.sqrt(low * high)
        rising = (margins * (-middle * margins).sigmoid()).sum() < 0
        low, high = (low, middle) if rising else (middle, high)
    return 1 / math.sqrt(low * high)
