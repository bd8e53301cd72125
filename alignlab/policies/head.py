"""The language-model head at response positions, in chunks: whole-vocabulary logits never exist at once."""

from collections.abc import Callable, Collection
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.checkpoint import checkpoint

Head = Callable[[Tensor], Tensor]
"""Hidden states `[C, D]` to logits `[C, V]`."""

CHUNK_ELEMENTS = 2**23
"""Logits alive at a time: 32 MB of float32."""


def head_of(model: Any) -> Head:
    """The map from final hidden states to logits, with the scaling and soft-capping of its family."""
    project = model.get_output_embeddings()
    config = model.config
    scale = getattr(config, "logit_scale", None) or 1 / (getattr(config, "logits_scaling", None) or 1.0)
    cap = getattr(config, "final_logit_softcapping", None)

    def head(hidden: Tensor) -> Tensor:
        logits = project(hidden)
        if scale != 1.0:
            logits = logits * scale
        return torch.tanh(logits / cap) * cap if cap else logits

    return head


def token_scores(
    hidden: Float[Tensor, "R D"],
    targets: Int[Tensor, "R"],
    head: Head,
    *,
    vocabulary: int,
    reference: tuple[Tensor, Head] | None = None,
    divergences: Collection[str] = (),
) -> dict[str, Float[Tensor, "R"]]:
    """`logps` of the targets, in nats per token; with a reference also `ref_logps` and divergences.

    `reference` holds the reference's hidden states at the same positions and its head. Each chunk is
    computed again in the backward, so memory holds one chunk of logits. Float32 or better
    throughout, whatever the dtype of the model.
    """
    size = max(1, CHUNK_ELEMENTS // vocabulary)
    ref_hidden, ref_head = reference or (None, None)

    def chunk(hidden: Tensor, targets: Tensor, ref_hidden: Tensor | None) -> tuple[Tensor, ...]:
        logits = _exact(head(hidden))
        logps = _picked(logits, targets) - logits.logsumexp(-1)
        if ref_hidden is None or ref_head is None:
            return (logps,)
        with torch.no_grad():
            ref_logits = _exact(ref_head(ref_hidden))
            ref_logps = _picked(ref_logits, targets) - ref_logits.logsumexp(-1)
        if not divergences:
            return (logps, ref_logps)
        whole, ref_whole = logits.log_softmax(-1), ref_logits.log_softmax(-1)
        return (logps, ref_logps, *(DIVERGENCES[name](whole, ref_whole) for name in sorted(divergences)))

    columns = []
    for start in range(0, len(targets), size):
        window = slice(start, start + size)
        inputs = (hidden[window], targets[window], None if ref_hidden is None else ref_hidden[window])
        if torch.is_grad_enabled():
            columns.append(checkpoint(chunk, *inputs, use_reentrant=False, preserve_rng_state=False))
        else:
            columns.append(chunk(*inputs))
    names = ["logps", *(["ref_logps", *sorted(divergences)] if reference else [])]
    return {name: torch.cat(parts) for name, parts in zip(names, zip(*columns, strict=True), strict=True)}


def _picked(logits: Tensor, targets: Tensor) -> Tensor:
    return logits.gather(-1, targets[:, None]).squeeze(-1)


def _reverse(logp: Tensor, ref_logp: Tensor) -> Tensor:
    return (logp.exp() * (logp - ref_logp)).sum(-1)


def _forward(logp: Tensor, ref_logp: Tensor) -> Tensor:
    return (ref_logp.exp() * (ref_logp - logp)).sum(-1)


DIVERGENCES = {"kl_reverse": _reverse, "kl_forward": _forward}


def _exact(logits: Tensor) -> Tensor:
    return logits if logits.dtype == torch.float64 else logits.float()
