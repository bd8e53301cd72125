"""Rails: what must hold, or the run stops and says why."""

import json
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from alignlab.errors import RunError
from alignlab.runs.folder import write_text
from alignlab.training.checkpointing import tensor_file
from alignlab.types import Batch

log = logging.getLogger(__name__)

Score = Callable[[Batch], Mapping[str, Tensor]]
"""Gives the signals of a micro-batch."""


class NonFiniteError(RunError):
    """Loss or gradient is NaN or infinite, more often than the run may leave out."""


class Finite:
    """Lets a step move the weights only where its loss and gradient are finite.

    The batch of any other step is saved in `folder`: json for its ids, safetensors for its tokens and
    signals. Then the run stops, or leaves the step out, at most `skips` times.
    """

    def __init__(self, folder: Path | None = None, *, skips: int = 0) -> None:
        self.folder, self.skips, self.count = folder, skips, 0

    def passes(
        self, step: int, loss: float, gradient_norm: float, batches: Sequence[Batch], score: Score
    ) -> bool:
        """Whether the step may be taken; NonFiniteError where it may not, and not be left out either.

        `step` counts from 1, as in metrics.csv. `score` is called for a step that fails, at the weights it had.
        """
        if math.isfinite(loss) and math.isfinite(gradient_norm):
            return True
        self.count += 1
        event = f"step {step}: loss {loss}, gradient norm {gradient_norm}"
        if self.folder is not None:
            file = self.folder / f"step-{step:06d}.json"
            save_batches(file, {"step": step, "loss": loss, "gradient_norm": gradient_norm}, batches, score)
            event += f". Its batch is in {file}, with tokens and signals beside it"
        if self.count > self.skips:
            ways = [
                "look at these rows",
                "lower optimizer.lr" if step > 1 else "at the scale of their labels",
            ]
            ways += [
                f"raise trainer.max_nonfinite={self.skips}" if self.skips else "set trainer.on_nonfinite=skip"
            ]
            raise NonFiniteError(f"{event}: {', '.join(ways[:2])}, or {ways[2]}")
        log.warning("%s. It is left out, the %d. of at most %d", event, self.count, self.skips)
        return False


def state_of(terms: nn.Module) -> dict[str, Tensor]:
    """The buffers of all terms, such as running means, which change before the loss of a step is known."""
    return {name: value.clone() for name, value in terms.named_buffers()}


def put_back(terms: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Set the buffers of all terms back to this state."""
    for name, value in state.items():
        terms.get_buffer(name).copy_(value)


@torch.no_grad()
def save_batches(file: Path, facts: Mapping[str, Any], batches: Sequence[Batch], score: Score) -> None:
    """Write the ids of a step and which signals are not finite, and all its tensors beside that.

    The random state stays as it was, so that what follows does not depend on it.
    """
    with torch.random.fork_rng():
        signals = [dict(score(batch)) for batch in batches]
    parts = [{**vars(batch), "signals": values} for batch, values in zip(batches, signals, strict=True)]
    file.parent.mkdir(parents=True, exist_ok=True)
    tensor_file.write(file.with_suffix(".safetensors"), tensor_file.flatten(parts))
    counts = [{name: int((~value.isfinite()).sum()) for name, value in values.items()} for values in signals]
    ids = {
        "ids": [row for batch in batches for row in batch.ids],
        "micro_batches": [
            {"ids": list(batch.ids), "not_finite": {name: n for name, n in count.items() if n}}
            for batch, count in zip(batches, counts, strict=True)
        ],
    }
    write_text(file, json.dumps({**facts, **ids}, indent=2, ensure_ascii=False) + "\n")


class Tolerance(NamedTuple):
    """How far two log-probabilities of a response may be apart, in nats, where one model gave both."""

    nats: float
    """Of a response whose log-probability is near 0; twice that at 100 nats below, and so on."""
    noise: float = 0.0
    """For each square root of a response's tokens, where roundings of another batch, or other kernels, add up."""

    def of(self, logps: Float[Tensor, "B K"], lengths: Float[Tensor, "B K"]) -> Float[Tensor, "B K"]:
        """Return the tolerance of each response."""
        return torch.maximum(self.nats * (1 + logps.abs() / 100), self.noise * lengths.sqrt())


@torch.no_grad()
def check_start(signals: Mapping[str, Tensor], ids: Sequence[str], tolerance: Tolerance) -> None:
    """The step-0 rail: policy and reference are one model, so every response has one log-probability under both.

    A loss may not see that they differ: pairwise ones are blind to a shift of all values.

    Raises RunError that says which responses differ, by how much, and on which row most.
    """
    where, lengths = signals["where"], signals["lengths"]
    for name in ("logps", "prompt_logps"):
        if name not in signals or f"ref_{name}" not in signals:
            continue
        own, reference = signals[name].double(), signals[f"ref_{name}"].double()
        gaps = (own - reference).abs().masked_fill(~where, 0)
        beyond = where & ~(gaps <= tolerance.of(reference, lengths.double()))  # so it is with NaN, too
        if not beyond.any():
            continue
        row, slot = divmod(int(gaps.masked_fill(~beyond, -1).argmax()), gaps.shape[1])
        what = "response" if name == "logps" else "the prompt of response"
        raise RunError(
            f"policy and reference should start equal and do not: row {ids[row]}, {what} {slot}, has log-probability "
            f"{own[row, slot].item():.4f} under the policy and {reference[row, slot].item():.4f} under the reference. "
            f"{int(beyond.sum())} of {int(where.sum())} responses looked at are further apart than rounding explains. "
            "If the reference is meant to be another model, set reference.path; else delete the folder scores/ of the "
            "cache"
        )


def at_zero(signals: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return these signals as those of a policy that is its reference: every log-ratio and divergence 0."""
    moved = dict(signals)
    for name, value in signals.items():
        if name.startswith(("kl_", "token_kl_")) or name == "step_logratios":
            moved[name] = torch.zeros_like(value)
        for twin in (f"ref_{name}", name.replace("logps", "ref_logps")):
            if twin in signals and "ref" not in name:
                moved[name] = signals[twin]
    return moved
