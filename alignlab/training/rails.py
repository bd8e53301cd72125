"""Rails: what must hold, or the run stops and says why."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from alignlab.errors import RunError
from alignlab.objectives.objective import Objective


class NonFiniteError(RunError):
    """Loss or gradient is NaN or infinite; `details` name the batch."""

    def __init__(self, details: Mapping[str, Any]) -> None:
        self.details = dict(details)
        super().__init__(
            f"step {details['step']}: loss {details['loss']}, gradient norm {details['gradient_norm']}. The ids of the "
            "batch are in nonfinite_batch.json; lower optimizer.lr, or look at these rows"
        )


def check_finite(step: int, loss: float, gradient_norm: float, ids: Sequence[str]) -> None:
    """NonFiniteError unless loss and gradient norm are finite."""
    if not (math.isfinite(loss) and math.isfinite(gradient_norm)):
        raise NonFiniteError({"step": step, "loss": loss, "gradient_norm": gradient_norm, "ids": list(ids)})


@torch.no_grad()
def check_start(
    objective: Objective, signals: Mapping[str, Tensor], ids: Sequence[str], *, tolerance: float
) -> None:
    """The step-0 rail: policy and reference are one model, so the loss is that of zero log-ratios.

    Log-ratios of rounding alone pass too: they decide the ranks, and so the value, of a loss that
    goes by ranks.

    Raises RunError that says by how much they differ, and on which row most.
    """
    logps, reference = signals["logps"], signals["ref_logps"]
    both: list[dict[str, Any]] = [at_zero(signals), dict(signals)]
    expected, found = (objective(**given).parts[objective.name].mean.item() for given in both)
    gaps = (logps - reference).abs().masked_fill(~signals["where"], 0)
    rounding = bool((gaps <= tolerance * (1 + reference.abs() / 100)).all())
    if rounding or abs(found - expected) <= tolerance * max(1.0, abs(expected)):
        return
    row, slot = divmod(int(gaps.argmax()), gaps.shape[1])
    raise RunError(
        f"the first loss of '{objective.name}' is {found:.6f}; at zero log-ratios it is {expected:.6f}. Policy and "
        f"reference should start equal and do not: row {ids[row]}, response {slot}, has log-probability "
        f"{logps[row, slot].item():.4f} under the policy and {reference[row, slot].item():.4f} under the reference. "
        "If the reference is meant to be another model, set reference.path; else delete the reference cache"
    )


def at_zero(signals: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same signals for a policy that is its reference: every log-ratio and divergence 0."""
    moved = dict(signals)
    for name, value in signals.items():
        if name.startswith(("kl_", "token_kl_")) or name == "step_logratios":
            moved[name] = torch.zeros_like(value)
        for twin in (f"ref_{name}", name.replace("logps", "ref_logps")):
            if twin in signals and "ref" not in name:
                moved[name] = signals[twin]
    return moved
