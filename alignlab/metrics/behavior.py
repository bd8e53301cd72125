"""How far the policy that trains is from the one that drew its responses, by micro-batch."""

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from alignlab.types import Part

FARTHEST = 20.0
"""The log-ratio in nats at which the exponent of an importance ratio is cut, so that no response makes it infinite."""
SQUARE = "importance_ratio_square"


def behavior_metrics(
    *,
    logps: Float[Tensor, "B K"],
    behavior_logps: Float[Tensor, "B K"],
    where: Bool[Tensor, "B K"],
    ref_logps: Float[Tensor, "B K"] | None = None,
    from_reference: Float[Tensor, "B K"] | None = None,
) -> dict[str, Part]:
    """The metrics of drawn responses, by name; those that a reference drew (`from_reference`) are left out.

    `behavior_gap` is the mean |log policy / sampler| of a response, in nats, and `importance_ratio` the mean
    policy / sampler, which is 1 in expectation. `own_logratio`, where some are the reference's, is the mean log-ratio
    of the policy's own responses to the reference.
    """
    own = where if from_reference is None else where & (from_reference == 0)
    logratios = (logps - behavior_logps).detach()[own]
    ratios = logratios.clamp(-FARTHEST, FARTHEST).exp()
    metrics = {
        "behavior_gap": _mean(logratios.abs()),
        "importance_ratio": _mean(ratios),
        SQUARE: _mean(ratios.square()),
    }
    if from_reference is not None and ref_logps is not None:
        metrics["own_logratio"] = _mean((logps - ref_logps).detach()[own])
    return metrics


def with_effective(values: Mapping[str, float]) -> dict[str, float]:
    """Metrics with `effective_samples` in place of the mean square of importance ratios w: (mean w)^2 / mean w^2.

    It is the share of the responses that would tell as much if the policy had drawn them itself (Kish).

    >>> with_effective({"importance_ratio": 1.0, "importance_ratio_square": 1.25})
    {'importance_ratio': 1.0, 'effective_samples': 0.8}
    """
    rest = {name: value for name, value in values.items() if name != SQUARE}
    if SQUARE not in values:
        return rest
    return {**rest, "effective_samples": values["importance_ratio"] ** 2 / values[SQUARE]}


def _mean(values: Tensor) -> Part:
    return Part(values.sum(), torch.tensor(float(values.numel()), dtype=values.dtype, device=values.device))
