"""The language-model head at response positions, in chunks: whole-vocabulary logits never exist at once."""

from collections.abc import Callable, Collection
from functools import cached_property
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from alignlab.policies.causal_lm.linear_head import linear_logps

CHUNK_ELEMENTS = {"cpu": 2**25, "cuda": 2**26}
"""The number of logits in memory at a time: 128 or 256 MB of float32. Fewer read the weights too often, and blocks of
up to 32 MB are kept by the C library when they are freed, in pieces that nothing else fits into.
"""
KEPT_ELEMENTS = 2**21
"""The number of logits up to which they are kept for the backward: so few cost more to compute again than to keep."""


class Head:
    """The map from final hidden states `[C, D]` to logits `[C, V]`, scaled and soft-capped as the model family does."""

    def __init__(self, model: Any) -> None:
        config = model.config.get_text_config()
        self.project = model.get_output_embeddings()
        self.vocabulary: int = config.vocab_size
        self.scale: float = getattr(config, "logit_scale", None) or 1 / (
            getattr(config, "logits_scaling", None) or 1.0
        )
        self.cap: float | None = getattr(config, "final_logit_softcapping", None)

    @property
    def is_plain(self) -> bool:
        """Whether the head is a linear layer without adapters, computed outside autocast."""
        device = self.project.weight.device.type if self.is_linear else "cpu"
        return self.is_linear and not torch.is_autocast_enabled(device)

    @property
    def is_linear(self) -> bool:
        """Whether the head is a linear layer without adapters.

        It is then computed past its module: how often that is called would depend on the length of the rows, and
        engines that follow the calls of modules take them to be the same on all ranks.
        """
        return type(self.project) is nn.Linear

    def __call__(self, hidden: Tensor) -> Tensor:
        """Return the logits of a few hidden states."""
        layer = self.project
        logits = F.linear(hidden, layer.weight, layer.bias) if self.is_linear else layer(hidden)
        if self.scale != 1.0:
            logits = logits * self.scale
        return torch.tanh(logits / self.cap) * self.cap if self.cap else logits


def token_scores(
    hidden: Float[Tensor, "R D"],
    targets: Int[Tensor, "R"],
    head: Head,
    *,
    names: Collection[str] = ("logps",),
    reference: tuple[Tensor, Head] | None = None,
    device: str | None = None,
) -> dict[str, Float[Tensor, "R"]]:
    """Return the named QUANTITIES of the token distributions, in nats per token.

    `reference` holds the reference's hidden states at the same positions and its head, for quantities that take it.
    Each chunk is computed again in the backward, so memory holds one chunk of logits, as large as suits
    the `device` (a type; that of the tensors). Float32 or better throughout, whatever the dtype of the model.
    """
    elements = CHUNK_ELEMENTS.get(device or hidden.device.type, CHUNK_ELEMENTS["cuda"])
    size, keep = max(1, elements // head.vocabulary), len(targets) * head.vocabulary <= KEPT_ELEMENTS
    if list(names) == ["logps"] and head.is_plain and not keep:
        weight, bias = head.project.weight, head.project.bias
        return {
            "logps": linear_logps(hidden, weight, bias, targets, scale=head.scale, cap=head.cap, size=size)
        }
    asked = [QUANTITIES[name] for name in names]
    compares = any(quantity.compares for quantity in asked)
    if compares and reference is None:
        raise ValueError(f"{', '.join(names)}: no reference to compare with")
    ref_hidden, ref_head = (reference if compares else None) or (None, None)

    def chunk(hidden: Tensor, targets: Tensor, ref_hidden: Tensor | None) -> tuple[Tensor, ...]:
        ours = theirs = Distribution(head(hidden), targets)
        if ref_hidden is not None and ref_head is not None:
            with torch.no_grad():
                theirs = Distribution(ref_head(ref_hidden), targets)
        return tuple(quantity.compute(ours, theirs) for quantity in asked)

    columns = []
    for start in range(0, max(1, len(targets)), size):
        window = slice(start, start + size)
        inputs = (hidden[window], targets[window], None if ref_hidden is None else ref_hidden[window])
        if torch.is_grad_enabled() and not keep:
            columns.append(checkpoint(chunk, *inputs, use_reentrant=False, preserve_rng_state=False))
        else:
            columns.append(chunk(*inputs))
    return {name: torch.cat(parts) for name, parts in zip(names, zip(*columns, strict=True), strict=True)}


class Distribution:
    """The token distributions of a chunk; they are normalised only where more than the targets is asked for."""

    def __init__(self, logits: Tensor, targets: Tensor) -> None:
        self.logits = logits if logits.dtype == torch.float64 else logits.float()
        self.targets = targets

    @cached_property
    def logps(self) -> Float[Tensor, "C V"]:
        """The log-probabilities of the whole vocabulary `[C, V]`, in nats."""
        return self.logits.log_softmax(-1)

    def target_logps(self) -> Float[Tensor, "C"]:
        """Return the log-probability of each target token `[C]`, in nats."""
        return -F.cross_entropy(self.logits, self.targets, reduction="none")


class Quantity(NamedTuple):
    """A number for each token that is computed from whole token distributions."""

    compute: Callable[[Distribution, Distribution], Tensor]
    """The function of the model's own distribution and the reference's."""
    compares: bool = False
    """Whether `compute` uses the reference's distribution."""


QUANTITIES = {
    "logps": Quantity(lambda p, _: p.target_logps()),
    "entropy": Quantity(lambda p, _: -(p.logps.exp() * p.logps).sum(-1)),
    "log_collisions": Quantity(lambda p, _: (2 * p.logps).logsumexp(-1)),
    "uniform_logps": Quantity(lambda p, _: p.logps.mean(-1)),
    "mean_logits": Quantity(lambda p, _: p.logits.mean(-1)),
    "kl_reverse": Quantity(lambda p, q: (p.logps.exp() * (p.logps - q.logps)).sum(-1), compares=True),
    "kl_forward": Quantity(lambda p, q: (q.logps.exp() * (q.logps - p.logps)).sum(-1), compares=True),
}
"""The quantities that the head can compute, by the name of the signal that is their sum over a response."""


def quantities(wanted: Collection[str], *, compares: bool) -> list[str]:
    """Return the quantities behind the wanted signals and `logps`; comparisons only where there is a reference."""
    return [
        name
        for name, quantity in QUANTITIES.items()
        if name == "logps"
        or ((name in wanted or f"token_{name}" in wanted) and quantity.compares <= compares)
    ]
