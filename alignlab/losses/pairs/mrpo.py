"""Multi-reference preference optimization: DPO against the mean of several references."""

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from alignlab.errors import ConfigError
from alignlab.losses.pairs.dpo import dpo
from alignlab.objective.numeric import PerPair
from alignlab.settings import NonNegative, Share
from alignlab.types import Reports

TINY = 1e-6
LEAST = 1e-30
"""The least weight of a reference."""
Logps = Float[Tensor, "P K"]
"""Log-probabilities of one side under all references, the first in front."""


def mrpo(
    chosen_logps: Float[Tensor, "P"],
    rejected_logps: Float[Tensor, "P"],
    chosen_ref_logps: Float[Tensor, "P"],
    rejected_ref_logps: Float[Tensor, "P"],
    chosen_other_ref_logps: Float[Tensor, "P R"],
    rejected_other_ref_logps: Float[Tensor, "P R"],
    *,
    beta: PerPair = 0.1,
    alpha: Share | Literal["adaptive"] = "adaptive",
    epsilon: NonNegative | None = 0.1,
    crossed: bool = False,
) -> tuple[Float[Tensor, "P"], Reports]:
    """Multi-reference preference optimization, arXiv:2405.16388.

    `dpo` against the weighted harmonic mean of K references, log ref = -log(sum over k of alpha_k / ref_k).

    `alpha` is `adaptive`, for each pair in proportion to |log ref_k(chosen) - log ref_k(rejected)|, or the weight of
    all references but the first, which share it evenly.
    `epsilon` keeps the log-probabilities of the others within some share of the first's, epsilon in all over
    both sides (null: does not). `crossed` exchanges the weights of two references, as the released code does. With
    equal references the loss is `dpo`. `reference.others=[a,b]` names the references beside the first;
    `reference.update=best` replaces the first by the policy where it was best, as the released code does.

    Reports `clipped`, the share of the others' log-probabilities that epsilon moved, and `others`, the mean weight
    of all references but the first.

    Raises ConfigError on `crossed` with more than two references.

    >>> logps = [torch.tensor([x]) for x in (-12.0, -14.0, -13.0, -13.0)]
    >>> others = [torch.tensor([[-13.0, -13.0]])] * 2
    >>> mrpo(*logps, *others, beta=0.5)[0]
    tensor([0.3133])
    """
    chosen = torch.cat([chosen_ref_logps[:, None], chosen_other_ref_logps], dim=1)
    rejected = torch.cat([rejected_ref_logps[:, None], rejected_other_ref_logps], dim=1)
    weights = _weights((chosen - rejected).abs(), alpha, crossed)
    moved = torch.zeros_like(chosen_logps)
    if epsilon is not None:
        sizes = chosen.sum(dim=1).abs(), rejected.sum(dim=1).abs()
        share = epsilon / (sizes[0] + sizes[1]).clamp(min=TINY)
        chosen, moved_chosen = _near_the_first(chosen, share * sizes[0])
        rejected, moved_rejected = _near_the_first(rejected, share * sizes[1])
        moved = moved_chosen.sum(dim=1) + moved_rejected.sum(dim=1)
    means = [-torch.logsumexp(weights.log() - side, dim=1) for side in (chosen, rejected)]
    reports: Reports = {
        "clipped": (moved, torch.full_like(chosen_logps, 2 * chosen_other_ref_logps.shape[1])),
        "others": weights[:, 1:].sum(dim=1) / weights.sum(dim=1),
    }
    return dpo(chosen_logps - means[0], rejected_logps - means[1], beta=beta), reports


def _weights(gaps: Logps, alpha: float | str, crossed: bool) -> Logps:
    """The weights of all references, none of them 0, and equal where none prefers a response."""
    count = gaps.shape[1]
    if crossed and count != 2:
        raise ConfigError(f"crossed=True: expected false, since there are {count} references and not two")
    if isinstance(alpha, str):
        weights = gaps / (gaps.sum(dim=1, keepdim=True) + TINY)
        if crossed:
            weights = torch.stack([1 - weights[:, 1], weights[:, 1]], dim=1)
    else:
        weights = torch.full_like(gaps, alpha / (count - 1))
        weights[:, 0] = 1 - alpha
    weights = weights.clamp(min=LEAST)
    return weights.flip(1) if crossed else weights


def _near_the_first(logps: Logps, share: Float[Tensor, "P"]) -> tuple[Logps, Bool[Tensor, "P K"]]:
    """Log-probabilities within `share` of the size of the first reference's, and which of them were moved."""
    first = logps[:, :1]
    room = share[:, None] * first.abs()
    kept = torch.minimum(torch.maximum(logps, first - room), first + room)
    return kept, kept != logps
