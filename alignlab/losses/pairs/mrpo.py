"""Multi-reference preference optimization: DPO against the mean of two references."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from alignlab.losses.pairs.dpo import dpo
from alignlab.objective.numeric import PerPair
from alignlab.settings import NonNegative, Share

TINY = 1e-6


def mrpo(
    chosen_logps: Float[Tensor, "P"],
    rejected_logps: Float[Tensor, "P"],
    chosen_ref_logps: Float[Tensor, "P"],
    rejected_ref_logps: Float[Tensor, "P"],
    chosen_ref2_logps: Float[Tensor, "P"],
    rejected_ref2_logps: Float[Tensor, "P"],
    *,
    beta: PerPair = 0.1,
    alpha: Share | Literal["adaptive"] = "adaptive",
    epsilon: NonNegative | None = 0.1,
    crossed: bool = False,
) -> Float[Tensor, "P"]:
    """Multi-reference preference optimization, arXiv:2405.16388.

    `dpo` against the weighted harmonic mean of two references, log ref = -log((1 - alpha) / ref_1 + alpha
    / ref_2).

    `alpha` is the weight of the second, or `adaptive`: for each pair in proportion to |log ref(chosen) -
    log ref(rejected)|. `epsilon` keeps the second reference's log-probabilities within some share of the
    first's, epsilon in all over both sides (null: does not). `crossed` exchanges the two weights, as the
    released code does. With equal references the loss is `dpo`.

    >>> logps = [torch.tensor([x]) for x in (-12.0, -14.0, -13.0, -13.0, -13.0, -13.0)]
    >>> mrpo(*logps, beta=0.5)
    tensor([0.3133])
    """
    gaps = (chosen_ref_logps - rejected_ref_logps).abs(), (chosen_ref2_logps - rejected_ref2_logps).abs()
    first, second = _weights(*gaps, alpha, crossed)
    if epsilon is not None:
        sizes = (chosen_ref_logps + chosen_ref2_logps).abs(), (rejected_ref_logps + rejected_ref2_logps).abs()
        share = epsilon / (sizes[0] + sizes[1]).clamp(min=TINY)
        chosen_ref2_logps = _near(chosen_ref2_logps, chosen_ref_logps, share * sizes[0])
        rejected_ref2_logps = _near(rejected_ref2_logps, rejected_ref_logps, share * sizes[1])
    chosen_ref = -torch.logaddexp(first.log() - chosen_ref_logps, second.log() - chosen_ref2_logps)
    rejected_ref = -torch.logaddexp(first.log() - rejected_ref_logps, second.log() - rejected_ref2_logps)
    return dpo(chosen_logps - chosen_ref, rejected_logps - rejected_ref, beta=beta)


def _weights(gap: Tensor, gap2: Tensor, alpha: float | str, crossed: bool) -> tuple[Tensor, Tensor]:
    """The weights of both references, none of them 0, and equal where neither prefers a response."""
    if isinstance(alpha, str):
        total = gap + gap2 + TINY
        second = gap2 / total
        first = 1 - second if crossed else gap / total
    else:
        first, second = torch.full_like(gap, 1 - alpha), torch.full_like(gap, alpha)
    first, second = first.clamp(min=1e-30), second.clamp(min=1e-30)
    return (second, first) if crossed else (first, second)


def _near(values: Tensor, center: Tensor, share: Tensor) -> Tensor:
    """Values within `share` of their center's size."""
    room = share * center.abs()
    return torch.minimum(torch.maximum(values, center - room), center + room)
