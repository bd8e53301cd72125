"""The language-model head at response positions, in chunks: whole-vocabulary logits never exist at once."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from alignlab.policies.causal_lm.distributions import Asked, Kept
from alignlab.policies.causal_lm.fused_head import LinearHead, Reference, of_logits, of_states

CHUNK_ELEMENTS = {"cpu": 2**25, "cuda": 2**26}
"""The number of logits in memory at a time: 128 or 256 MB of float32. Fewer read the weights too often, and blocks of
up to 32 MB are kept by the C library when they are freed, in pieces that nothing else fits into.
"""
KEPT_ELEMENTS = 2**21
"""The number of logits up to which they are kept for the backward: so few cost more to compute again than to keep."""


class Head:
    """The map from final hidden states `[C, D]` to logits `[C, V]`, scaled and soft-capped as the model family does.

    The logits are then divided by `temperature`: log-probabilities are those of the distribution drawn from at it.
    """

    def __init__(self, model: Any, temperature: float = 1.0) -> None:
        config = model.config.get_text_config()
        self.project = model.get_output_embeddings()
        self.vocabulary: int = config.vocab_size
        scale = getattr(config, "logit_scale", None) or 1 / (getattr(config, "logits_scaling", None) or 1.0)
        cap = getattr(config, "final_logit_softcapping", None)
        # cap * tanh(scale * x / cap) / temperature is the same map with both of them divided
        self.scale: float = scale / temperature
        self.cap: float | None = cap / temperature if cap else None

    @property
    def is_linear(self) -> bool:
        """Whether the head is a linear layer without adapters.

        It is then computed past its module: how often that is called would depend on the length of the rows, and
        engines that follow the calls of modules take them to be the same on all ranks.
        """
        return type(self.project) is nn.Linear

    def linear(self) -> LinearHead:
        """Return the head as its tensors, in the precision of autocast where that is on."""
        weight = self.project.weight
        device, dtype = weight.device.type, weight.dtype
        if torch.is_autocast_enabled(device) and dtype != torch.float64:
            dtype = torch.get_autocast_dtype(device)
        return LinearHead(weight, self.project.bias, self.scale, self.cap, dtype)

    def __call__(self, hidden: Tensor) -> Tensor:
        """Return the logits of a few hidden states."""
        layer = self.project
        logits = F.linear(hidden, layer.weight, layer.bias) if self.is_linear else layer(hidden)
        if self.scale != 1.0:
            logits = logits * self.scale
        return torch.tanh(logits / self.cap) * self.cap if self.cap else logits


def tokens_at_once(head: Head, device: str, *, models: int) -> int:
    """Return of how many tokens the logits of so many models are computed together on a type of device."""
    return max(1, CHUNK_ELEMENTS.get(device, CHUNK_ELEMENTS["cuda"]) // (models * head.vocabulary))


def token_scores(
    hidden: Float[Tensor, "R D"],
    targets: Int[Tensor, "R"],
    head: Head,
    *,
    names: Sequence[str] = ("logps",),
    reference: tuple[Tensor, Head] | None = None,
    ref_names: Sequence[str] = (),
    device: str | None = None,
) -> dict[str, Float[Tensor, "R"]]:
    """Return the named QUANTITIES of the token distributions, in nats per token.

    `reference` holds the reference's hidden states at the same positions and its head, for quantities that take it;
    its own quantities of `ref_names` come from the same logits, as `ref_logps` and so on, without gradient.
    Each chunk is computed again in the backward, so memory holds one chunk of logits, as large as suits
    the `device` (a type; that of the tensors); few logits are kept. Float32 or better throughout, whatever the dtype
    of the model.
    """
    asked, device = Asked(names, ref_names), device or hidden.device.type
    if reference is None and (asked.compares or ref_names):
        raise ValueError(f"{', '.join(asked.names)}: no reference to compare with")
    ref_hidden, ref_head = (reference if asked.compares or ref_names else None) or (None, None)
    models = 1 if ref_head is None else 2
    size = tokens_at_once(head, device, models=models)
    if len(targets) * head.vocabulary <= KEPT_ELEMENTS:
        p, q = Kept(head(hidden)), None
        if ref_hidden is not None and ref_head is not None:
            with torch.no_grad():
                q = Kept(ref_head(ref_hidden))
        return dict(zip(asked.names, asked.values(p, q, targets), strict=True))
    if head.is_linear and (ref_head is None or ref_head.is_linear):
        against = None if ref_hidden is None or ref_head is None else Reference(ref_hidden, ref_head.linear())
        values = of_states(hidden, head.linear(), against, targets, asked, size=size, device=device)
        return dict(zip(asked.names, values, strict=True))

    def chunk(hidden: Tensor, targets: Tensor, ref_hidden: Tensor | None) -> tuple[Tensor, ...]:
        with torch.no_grad():
            ref_logits = None if ref_hidden is None or ref_head is None else ref_head(ref_hidden)
        return of_logits(head(hidden), ref_logits, targets, asked, device)

    columns = []
    for start in range(0, max(1, len(targets)), size):
        window = slice(start, start + size)
        inputs = (hidden[window], targets[window], None if ref_hidden is None else ref_hidden[window])
        if torch.is_grad_enabled():
            columns.append(checkpoint(chunk, *inputs, use_reentrant=False, preserve_rng_state=False))
        else:
            columns.append(chunk(*inputs))
    return {
        name: torch.cat(parts) for name, parts in zip(asked.names, zip(*columns, strict=True), strict=True)
    }
