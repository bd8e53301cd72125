"""Quantities of token distributions with a backward of their own: of logits, and of states under a linear head."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from alignlab.policies.causal_lm.distributions import Asked, Distribution, blocks


class LinearHead(NamedTuple):
    """A linear head as it is computed: `cap * tanh(scale * (states @ weight.T + bias) / cap)`, or without a cap."""

    weight: Float[Tensor, "V D"]
    bias: Float[Tensor, "V"] | None
    scale: float
    cap: float | None
    dtype: torch.dtype
    """The precision of products with the weight; all else is computed in float32 or better."""

    def product(self, states: Float[Tensor, "C D"]) -> Float[Tensor, "C V"]:
        """Return the states' products with the weight."""
        weight = self.weight.to(self.dtype)
        if self.bias is None:
            return states.to(self.dtype) @ weight.mT
        return torch.addmm(self.bias.to(self.dtype), states.to(self.dtype), weight.mT)

    def logits(self, product: Float[Tensor, "C V"]) -> Float[Tensor, "C V"]:
        """Return the logits of a few products, which are overwritten where they are float32 or better."""
        logits = product if product.dtype == torch.float64 else product.float()
        if self.scale != 1.0:
            logits.mul_(self.scale)
        return logits.div_(self.cap).tanh_().mul_(self.cap) if self.cap else logits

    def slope(self, grad: Float[Tensor, "C V"], logits: Float[Tensor, "C V"]) -> Float[Tensor, "C V"]:
        """Return the gradient over the products, from that over the logits, which is overwritten."""
        if self.cap:
            grad.mul_(1 - (logits / self.cap).square_())
        return grad if self.scale == 1.0 else grad.mul_(self.scale)


class Reference(NamedTuple):
    """The states of a reference at the same positions, and its head."""

    states: Float[Tensor, "R D"]
    head: LinearHead


def of_logits(
    logits: Float[Tensor, "C V"],
    ref_logits: Float[Tensor, "C V"] | None,
    targets: Int[Tensor, "C"],
    asked: Asked,
    device: str,
) -> tuple[Float[Tensor, "C"], ...]:
    """Return what is asked for, in the order of `asked.names`; blocks are as large as suits the type of device."""
    values: tuple[Tensor, ...] = _OfLogits.apply(logits, ref_logits, targets, asked, device)  # type: ignore[no-untyped-call]
    return values


def of_states(
    states: Float[Tensor, "R D"],
    head: LinearHead,
    reference: Reference | None,
    targets: Int[Tensor, "R"],
    asked: Asked,
    *,
    size: int,
    device: str,
) -> tuple[Float[Tensor, "R"], ...]:
    """Return what is asked for, in the order of `asked.names`, from the logits of `size` tokens at a time.

    The backward computes these again, and adds up gradients in place: one buffer for any number of chunks.
    """
    values: tuple[Tensor, ...] = _OfStates.apply(  # type: ignore[no-untyped-call]
        states, head.weight, head.bias, targets, head, reference, asked, size, device
    )
    return values


class _OfLogits(torch.autograd.Function):
    """An autograd function of whole logits, whose gradient has a block of float32 beside itself and no more."""

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, ref_logits: Tensor | None, targets: Tensor, asked: Asked, device: str
    ) -> tuple[Tensor, ...]:
        ctx.asked, ctx.device = asked, device

        def parts() -> Iterator[tuple[Distribution, Distribution | None, Tensor]]:
            for at in blocks(logits, device):
                q = None if ref_logits is None else Distribution(ref_logits[at])
                yield Distribution(logits[at]), q, targets[at]

        norms, values = _measured(parts(), asked)
        return _kept(ctx, (logits, ref_logits, targets), norms, values)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        (logits, ref_logits, targets), (norm, ref_norm), values = _restored(ctx, 3)
        asked, d_logits = ctx.asked, torch.empty_like(logits)
        for at in blocks(logits, ctx.device):
            q = Distribution(ref_logits[at], ref_norm[at]) if asked.compared(grads) else None
            p = Distribution(logits[at], norm[at])
            d_logits[at] = asked.slope(p, q, targets[at], *_within(at, values, grads))
        return d_logits, None, None, None, None


class _OfStates(torch.autograd.Function):
    """An autograd function of states and a linear head that computes logits in chunks, and again in the backward."""

    @staticmethod
    def forward(
        ctx: Any,
        states: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        head: LinearHead,
        reference: Reference | None,
        asked: Asked,
        size: int,
        device: str,
    ) -> tuple[Tensor, ...]:
        ctx.asked, ctx.size, ctx.device = asked, size, device
        ctx.head, ctx.reference = head[2:], reference

        def parts() -> Iterator[tuple[Distribution, Distribution | None, Tensor]]:
            for start in range(0, max(1, len(targets)), size):
                chunk = slice(start, start + size)
                product, ref_product = head.product(states[chunk]), _product(reference, chunk)
                for at in blocks(product, device):
                    q = None
                    if reference is not None and ref_product is not None:
                        q = Distribution(reference.head.logits(ref_product[at]))
                    yield Distribution(head.logits(product[at])), q, targets[chunk][at]

        norms, values = _measured(parts(), asked)
        return _kept(ctx, (states, weight, bias, targets), norms, values)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        (states, weight, bias, targets), (norm, ref_norm), values = _restored(ctx, 4)
        head = LinearHead(weight, bias, *ctx.head)
        asked: Asked = ctx.asked
        reference: Reference | None = ctx.reference if asked.compared(grads) else None
        to_states, to_weight, to_bias, *_ = ctx.needs_input_grad
        d_states = torch.empty_like(states) if to_states else None
        d_weight = torch.zeros_like(weight) if to_weight else None
        d_bias = torch.zeros_like(bias, dtype=norm.dtype) if to_bias else None
        for start in range(0, len(targets), ctx.size):
            chunk = slice(start, start + ctx.size)
            product, ref_product = head.product(states[chunk]), _product(reference, chunk)
            for at in blocks(product, ctx.device):
                rows = slice(start + at.start, start + at.stop)
                q = None
                if reference is not None and ref_product is not None:
                    q = Distribution(reference.head.logits(ref_product[at]), ref_norm[rows])
                p = Distribution(head.logits(product[at]), norm[rows])
                slope = asked.slope(p, q, targets[rows], *_within(rows, values, grads))
                product[at] = head.slope(slope, p.logits)
            if d_states is not None:
                d_states[chunk] = product @ weight.to(head.dtype)
            if d_weight is not None and d_weight.dtype == head.dtype:
                d_weight.addmm_(product.mT, states[chunk].to(head.dtype))
            elif d_weight is not None:
                d_weight += product.mT @ states[chunk].to(head.dtype)
            if d_bias is not None:
                d_bias += product.sum(0)
        d_bias = None if d_bias is None else d_bias.to(bias.dtype)
        return d_states, d_weight, d_bias, None, None, None, None, None, None


def _product(reference: Reference | None, chunk: slice) -> Tensor | None:
    return None if reference is None else reference.head.product(reference.states[chunk])


def _measured(
    parts: Iterable[tuple[Distribution, Distribution | None, Tensor]], asked: Asked
) -> tuple[tuple[Tensor, Tensor | None], tuple[Tensor, ...]]:
    """Return the norms of model and reference, and the quantities, of all blocks."""
    norms, ref_norms, rows = [], [], []
    for p, q, targets in parts:
        norms.append(p.norm)
        ref_norms += [] if q is None else [q.norm]
        rows.append(asked.values(p, q, targets))
    ref_norm = torch.cat(ref_norms) if ref_norms else None
    return (torch.cat(norms), ref_norm), tuple(torch.cat(column) for column in zip(*rows, strict=True))


def _kept(
    ctx: Any, inputs: Sequence[Tensor | None], norms: Sequence[Tensor | None], values: tuple[Tensor, ...]
) -> tuple[Tensor, ...]:
    """Keep for the backward what it needs, and return the values; those of the reference have no gradient."""
    ctx.set_materialize_grads(False)
    ctx.mark_non_differentiable(*values[len(ctx.asked.own) :])
    ctx.save_for_backward(*inputs, *norms, *values)
    return values


def _restored(ctx: Any, inputs: int) -> tuple[Any, Any, Sequence[Tensor]]:
    """Return the inputs and norms that were kept, with None where there was none, and the values."""
    saved = ctx.saved_tensors
    return saved[:inputs], saved[inputs : inputs + 2], saved[inputs + 2 :]


def _within(
    rows: slice, values: Sequence[Tensor], grads: Sequence[Tensor | None]
) -> tuple[list[Tensor], list[Tensor | None]]:
    """Return the values of a block and the gradients over them."""
    return [value[rows] for value in values], [None if grad is None else grad[rows] for grad in grads]
