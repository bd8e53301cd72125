"""Packs batches for models whose attention goes through the attention interface of transformers."""

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from alignlab.policies.causal_lm.packing import flex
from alignlab.policies.causal_lm.packing.blocks import Blocks
from alignlab.policies.causal_lm.packing.layout import Layout, packed_source
from alignlab.policies.causal_lm.packing.tiles import Plan
from alignlab.types import Batch

PREFIX = "packed_"
"""The prefix of the name of an attention implementation that also takes packed batches."""


def packed(batch: Batch) -> Layout:
    """Lay out all tokens in one row, each prompt once, for a model that `install` was called on.

    On a GPU the row is padded to whole blocks.
    """
    tokens, positions, plan = batch.tokens, batch.positions, None
    if tokens.device.type in flex.DEVICES:
        plan = Blocks(batch)
        tokens, positions = plan.filled(tokens), plan.filled(positions)
    inputs = {
        "input_ids": tokens[None],
        "position_ids": positions[None],
        # of four dimensions, so that the model makes no mask of its own
        "attention_mask": tokens.new_zeros(1, 1, 1, 1),
        "packed": plan or Plan(batch),
    }
    return Layout(inputs, torch.arange(len(batch.tokens), device=tokens.device), packed_source(batch))


def install(model: Any) -> None:
    """Let a model take packed batches; it computes all other batches as before."""
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
    packed: Plan | Blocks | None = None,
    **options: Any,
) -> tuple[Tensor, Tensor | None]:
    """The attention function for transformers: by the plan in `packed`, or without one by the function `plain`."""
    if packed is None:
        return _named(plain, module)(module, query, key, value, attention_mask, **options)
    window, cap, scale = (options.get(name) for name in ("sliding_window", "softcap", "scaling"))
    states = query, key, value
    if isinstance(packed, Plan):
        return _by_tiles(packed, states, window, scale, cap), None
    output = flex.attend(packed, states, window=window, scale=scale, cap=cap)
    if output is None:
        output = _by_tiles(packed.plan, states, window, scale, cap)
        output = F.pad(output, (0, 0, 0, 0, 0, packed.length - output.shape[1]))
    return output, None


def _by_tiles(
    plan: Plan,
    states: tuple[Tensor, Tensor, Tensor],
    window: int | None,
    scale: float | None,
    cap: float | None,
) -> Float[Tensor, "1 T H V"]:
    """Attention in one call for each tile of the plan."""
    window = window if window and window < plan.longest else None
    by_token = [each.squeeze(0).transpose(0, 1) for each in states]
    outputs = []
    for tile in plan.tiles:
        q, k, v = map(_take, by_token, (tile.queries, tile.keys, tile.keys))
        mask = tile.mask(window, q.dtype) if window or cap or not tile.causal else None
        if cap and mask is not None:
            output = _capped(q, k, v, mask, scale, cap)
        else:
            output = _fused(q, k, v, mask, scale, device=plan.device)
        outputs.append(output.transpose(1, 2).flatten(0, 1))
    return torch.cat(outputs).index_select(0, plan.place)[None]


def _named(name: str, module: nn.Module) -> Callable[..., tuple[Tensor, Tensor | None]]:
    """The attention function of an implementation; `eager` is the one in the module of the layer's class."""
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    eager: Any = getattr(sys.modules[type(module).__module__], "eager_attention_forward", None)
    return ALL_ATTENTION_FUNCTIONS.get_interface(name, eager)


def _take(states: Float[Tensor, "T H D"], places: Int[Tensor, "G C"]) -> Float[Tensor, "G H C D"]:
    taken = states.index_select(0, places.flatten())
    return taken.view(*places.shape, *states.shape[1:]).transpose(1, 2)


def _fused(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scale: float | None, *, device: str
) -> Tensor:
    """Attention of states `[G, H, tokens, D]` under an additive mask; causal without one."""
    grouped = query.shape[1] != key.shape[1]
    if grouped and mask is not None and device != "cpu":  # no fused kernel there takes both
        key, value, grouped = _repeated(key, query), _repeated(value, query), False
    return F.scaled_dot_product_attention(
        query, key, value, attn_mask=mask, is_causal=mask is None, scale=scale, enable_gqa=grouped
    )


def _capped(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scale: float | None, cap: float
) -> Tensor:
    """Attention under an additive mask with soft-capped scores, which no fused kernel does."""
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    scores = torch.tanh(query @ _repeated(key, query).mT * (scale / cap)) * cap + mask
    weights = scores.softmax(-1, dtype=torch.float64 if scores.dtype == torch.float64 else torch.float32)
    return weights.to(query.dtype) @ _repeated(value, query)


def _repeated(states: Tensor, query: Tensor) -> Tensor:
    """Keys or values of grouped heads, repeated for every query head."""
    return states.repeat_interleave(query.shape[1] // states.shape[1], dim=1)
