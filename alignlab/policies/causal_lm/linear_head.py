"""Log-probabilities straight from a linear head, with one gradient buffer for any number of chunks."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable


def linear_logps(
    hidden: Float[Tensor, "R D"],
    weight: Float[Tensor, "V D"],
    bias: Float[Tensor, "V"] | None,
    targets: Int[Tensor, "R"],
    *,
    scale: float = 1.0,
    cap: float | None = None,
    size: int,
) -> Float[Tensor, "R"]:
    """Return the log-probabilities of the targets, in nats, computed `size` tokens at a time in float32 or better.

    Logits are `cap * tanh(scale * (hidden @ weight.T + bias) / cap)`, without a cap plainly scaled.
    """
    logps: Tensor = _LinearLogps.apply(hidden, weight, bias, targets, scale, cap, size)  # type: ignore[no-untyped-call]
    return logps


class _LinearLogps(torch.autograd.Function):
    """An autograd function that computes a chunk's logits again in the backward, and adds up gradients in place."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        scale: float,
        cap: float | None,
        size: int,
    ) -> Tensor:
        ctx.scale, ctx.cap, ctx.size = scale, cap, size
        norms, picked = [], []
        for start in range(0, len(targets), size):
            at = slice(start, start + size)
            logits = _logits(hidden[at], weight, bias, scale, cap)
            norms.append(logits.logsumexp(-1))
            picked.append(logits.gather(-1, targets[at, None]).squeeze(-1))
        norm = torch.cat(norms)
        ctx.save_for_backward(hidden, weight, bias, targets, norm)
        return torch.cat(picked) - norm

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, bias, targets, norm = ctx.saved_tensors
        to_hidden, to_weight, to_bias, *_ = ctx.needs_input_grad
        d_hidden = torch.empty_like(hidden) if to_hidden else None
        d_weight = torch.zeros_like(weight) if to_weight else None
        d_bias = torch.zeros_like(bias, dtype=norm.dtype) if to_bias else None
        for start in range(0, len(targets), ctx.size):
            at = slice(start, start + ctx.size)
            logits = _logits(hidden[at], weight, bias, ctx.scale, ctx.cap)
            slope = (1 - (logits / ctx.cap).square_()).mul_(ctx.scale) if ctx.cap else ctx.scale
            d_logits = logits.sub_(norm[at, None]).exp_().mul_(-grad[at, None])
            d_logits.scatter_add_(1, targets[at, None], grad[at, None])
            d_logits = d_logits.mul_(slope).to(weight.dtype)
            if d_hidden is not None:
                d_hidden[at] = d_logits @ weight
            if d_weight is not None:
                d_weight.addmm_(d_logits.mT, hidden[at])
            if d_bias is not None:
                d_bias += d_logits.sum(0)
        return d_hidden, d_weight, None if d_bias is None else d_bias.to(bias.dtype), None, None, None, None


def _logits(hidden: Tensor, weight: Tensor, bias: Tensor | None, scale: float, cap: float | None) -> Tensor:
    logits = hidden @ weight.mT if bias is None else torch.addmm(bias, hidden, weight.mT)
    logits = logits if logits.dtype == torch.float64 else logits.float()
    if scale != 1.0:
        logits.mul_(scale)
    return logits.div_(cap).tanh_().mul_(cap) if cap else logits
