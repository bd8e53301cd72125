"""Attention over a packed row in one fused kernel, torch's flex attention, where a trial on the GPU shows it exact."""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import cache
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.attention.flex_attention import flex_attention

from alignlab.policies.causal_lm.packing.blocks import Blocks
from alignlab.policies.causal_lm.packing.tiny_copy import batch_of, first_line
from alignlab.types import Batch

log = logging.getLogger(__name__)

DEVICES = ("cuda",)
"""The types of devices that have such kernels, backward included."""
ROUNDING = {torch.bfloat16: 2**-7, torch.float16: 2**-10, torch.float32: 2**-10}
"""The relative rounding of one operation by dtype; float32 may be multiplied as TF32."""
TOLERANCE = 8
"""The number of roundings by which a result may be off."""
WINDOW = 70
TRIALS = [[(270, [1, 140, 7]), (1, [1]), (20, [30, 5])], [(3, [5, 2]), (1, [1])]]
"""The lists to try a kernel on, by lengths of prompts and responses: blocks are seen whole, in part and not at all."""


class Call(NamedTuple):
    """The properties that a kernel is compiled for, beside the tokens of a row."""

    device: torch.device
    dtype: torch.dtype
    heads: int
    key_heads: int
    width: int
    value_width: int
    scale: float | None
    cap: float | None

    def __str__(self) -> str:
        shared = "" if self.heads == self.key_heads else f" ({self.key_heads} of keys)"
        dtype = str(self.dtype).removeprefix("torch.")
        return f"{self.heads} heads of {self.width}{shared} in {dtype} on {self.device}"


def attend(
    blocks: Blocks,
    states: tuple[Tensor, Tensor, Tensor],
    *,
    window: int | None,
    scale: float | None,
    cap: float | None,
) -> Float[Tensor, "1 L H V"] | None:
    """Compute attention of queries, keys and values `[1, H, L, D]`; None where no kernel is exact.

    The first call of a kind tries the kernel, forward and backward, and logs the result.
    """
    kind = states[0].device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else states[0].dtype
    query, key, value = states
    widths = query.shape[-1], value.shape[-1]
    call = Call(query.device, dtype, query.shape[1], key.shape[1], *widths, scale, cap)
    return _run(call, blocks, states, window) if _exact(call) else None


def _run(call: Call, blocks: Blocks, states: tuple[Tensor, Tensor, Tensor], window: int | None) -> Tensor:
    # a tensor, for a number would be traced as one that changes
    cap = torch.full((), call.cap or 1.0, dtype=torch.float32, device=call.device)

    def capped(score: Tensor, batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return torch.tanh(score / cap) * cap

    with torch.autocast(call.device.type, enabled=False):
        output: Tensor = kernel()(
            *(each.to(call.dtype) for each in states),
            score_mod=capped if call.cap else None,
            block_mask=blocks.mask(window),
            scale=call.scale,
            enable_gqa=call.heads != call.key_heads,
        )
    return output.transpose(1, 2)


@cache
def kernel() -> Callable[..., Any]:
    """Flex attention, compiled once for rows of any length."""
    if torch._dynamo.config.disable:
        raise RuntimeError("torch.compile is switched off")
    return torch.compile(flex_attention, dynamic=True, recompile_limit=64)  # type: ignore[call-overload]


@cache
def _exact(call: Call) -> bool:
    """Whether a kernel is exact on the lists of `TRIALS`.

    The trial runs in a thread of its own, without the modes that the caller may be in: autocast, inference mode,
    checkpointing.
    """
    with ThreadPoolExecutor(1) as thread:
        fault = thread.submit(_fault, call).result()
    if fault:
        log.info("attention: scaled dot products by segments for %s (flex attention: %s)", call, fault)
    else:
        log.info("attention: flex attention for %s, exact on a trial forward and backward", call)
    return not fault


def _fault(call: Call) -> str:
    """The fault of a kernel: the error that it raises, or how far it is off; an empty text if it is exact."""
    if call.dtype not in ROUNDING:
        return "it computes in float32 at most"
    try:
        with nullcontext() if call.device.index is None else torch.cuda.device(call.device):
            gaps = [_gap(call, batch_of(lists), window) for lists in TRIALS for window in (None, WINDOW)]
            gap = torch.stack(gaps).max().item()
    except Exception as error:  # whatever a compiler or a driver raises
        return first_line(error)
    return "" if gap <= TOLERANCE * ROUNDING[call.dtype] else f"off by {gap:.1g}"


def _gap(call: Call, batch: Batch, window: int | None) -> Tensor:
    """The largest error of a token's output or gradients, relative to its norm, or to the RMS of norms if larger."""
    random = torch.Generator().manual_seed(0)

    def draw(heads: int, width: int) -> Float[Tensor, "1 H T D"]:
        drawn = torch.randn(1, len(batch.tokens), heads, width, generator=random)
        return drawn.to(call.device, call.dtype).transpose(1, 2)

    query, key = draw(call.heads, call.width), draw(call.key_heads, call.width)
    value, upstream = draw(call.key_heads, call.value_width), draw(call.heads, call.value_width)
    if call.scale:
        query = query / (call.scale * call.width**0.5)  # so that scores are of the size of 1
    inputs = [each.detach().requires_grad_() for each in (query, key, value)]
    blocks = Blocks(batch.to(call.device))
    more = 0, 0, 0, blocks.length - len(batch.tokens)

    def attended() -> Tensor:
        query, key, value = (F.pad(each, more) for each in inputs)
        return _run(call, blocks, (query, key, value), window)[0, : len(batch.tokens)].transpose(0, 1)

    exact = [each.detach().double().requires_grad_() for each in inputs]
    expected = _plain(call, blocks.batch, exact, window)
    output = attended()
    with torch.no_grad():
        alone = attended()
    pairs = [(expected, output), (expected, alone)]
    pairs += zip(
        torch.autograd.grad(expected, exact, upstream[0].double()),
        torch.autograd.grad(output, inputs, upstream[0]),
        strict=True,
    )
    return torch.stack([_off(a.detach(), b.detach().double()) for a, b in pairs]).max()


def _off(expected: Float[Tensor, "... D"], actual: Float[Tensor, "... D"]) -> Tensor:
    sizes = expected.norm(dim=-1)
    return ((expected - actual).norm(dim=-1) / sizes.clamp(min=sizes.square().mean().sqrt())).max()


def _plain(call: Call, batch: Batch, states: list[Tensor], window: int | None) -> Float[Tensor, "H T V"]:
    """Attention under a dense mask over all pairs of tokens."""
    query, key, value = (each[0] for each in states)
    key, value = (each.repeat_interleave(call.heads // call.key_heads, dim=0) for each in (key, value))
    ahead = batch.positions[:, None] - batch.positions
    seen: Bool[Tensor, "T T"] = (batch.prompt[:, None] == batch.prompt) & (ahead >= 0)
    seen = seen & ((batch.row == -1) | (batch.row[:, None] == batch.row))
    seen = seen if window is None else seen & (ahead < window)
    scores = query @ key.mT * (call.width**-0.5 if call.scale is None else call.scale)
    scores = scores if not call.cap else call.cap * torch.tanh(scores / call.cap)
    return scores.masked_fill(~seen, -torch.inf).softmax(-1) @ value
