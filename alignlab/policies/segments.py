"""Packed batches for models whose attention goes through the attention interface of transformers."""

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from alignlab.policies.layout import Layout, packed_source
from alignlab.policies.plan import Plan
from alignlab.types import Batch

PREFIX = "packed_"
"""Before the name of an attention implementation that also takes packed batches."""


def packed(batch: Batch) -> Layout:
    """All tokens in one row, each prompt once, for a model that `install` was called on."""
    inputs = {
        "input_ids": batch.tokens[None],
        "position_ids": batch.positions[None],
        # of four dimensions, so that the model makes no mask of its own
        "attention_mask": batch.tokens.new_zeros(1, 1, 1, 1),
        "packed": Plan(batch),
    }
    return Layout(inputs, packed_source(batch))


def install(model: Any) -> None:
    """Let a model take packed batches; others it computes as before."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS

    plain = model.config._attn_implementation
    if plain.startswith(PREFIX):
        return
    AttentionInterface.register(PREFIX + plain, partial(attention, plain))
    AttentionMaskInterface.register(PREFIX + plain, ALL_MASK_ATTENTION_FUNCTIONS[plain])
    model.set_attn_implementation(PREFIX + plain)


def attention(
    plain: str,
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    packed: Plan | None = None,
    **options: Any,
) -> tuple[Tensor, Tensor | None]:
    """An attention function of transformers: by the plan in `packed`; without one, that of the name `plain`."""
    if packed is None:
        return _named(plain, module)(module, query, key, value, attention_mask, **options)
    window, cap, scale = (options.get(name) for name in ("sliding_window", "softcap", "scaling"))
    window = window if window and window < packed.longest else None
    by_token = [states.squeeze(0).transpose(0, 1) for states in (query, key, value)]
    outputs = []
    for tile in packed.tiles:
        q, k, v = map(_take, by_token, (tile.queries, tile.keys, tile.keys))
        mask = tile.mask(window, q.dtype) if window or cap or not tile.causal else None
        output = (
            _capped(q, k, v, mask, scale, cap) if cap and mask is not None else _fused(q, k, v, mask, scale)
        )
        outputs.append(output.transpose(1, 2).flatten(0, 1))
    return torch.cat(outputs).index_select(0, packed.place)[None], None


def _named(name: str, module: nn.Module) -> Callable[..., tuple[Tensor, Tensor | None]]:
    """The attention function of an implementation; `eager` is the one beside the module's class."""
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    eager: Any = getattr(sys.modules[type(module).__module__], "eager_attention_forward", None)
    return ALL_ATTENTION_FUNCTIONS.get_interface(name, eager)


def _take(states: Float[Tensor, "T H D"], places: Int[Tensor, "G C"]) -> Float[Tensor, "G H C D"]:
    taken = states.index_select(0, places.flatten())
    return taken.view(*places.shape, *states.shape[1:]).transpose(1, 2)


def _fused(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scale: float | None) -> Tensor:
    """Attention of `[G, H, ., D]` under a mask; without one, causal."""
    grouped = query.shape[1] != key.shape[1]
    if grouped and mask is not None and query.device.type != "cpu":  # no fused kernel there takes both
        key, value, grouped = _repeated(key, query), _repeated(value, query), False
    return F.scaled_dot_product_attention(
        query, key, value, attn_mask=mask, is_causal=mask is None, scale=scale, enable_gqa=grouped
    )


def _capped(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scale: float | None, cap: float
) -> Tensor:
    """The same with scores soft-capped, which no fused kernel does."""
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    scores = torch.tanh(query @ _repeated(key, query).mT * (scale / cap)) * cap + mask
    weights = scores.softmax(-1, dtype=torch.float64 if scores.dtype == torch.float64 else torch.float32)
    return weights.to(query.dtype) @ _repeated(value, query)


def _repeated(states: Tensor, query: Tensor) -> Tensor:
    """Keys or values of grouped heads, once for every query head."""
    return states.repeat_interleave(query.shape[1] // states.shape[1], dim=1)
