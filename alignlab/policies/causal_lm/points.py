"""Mean activations at every point of a decoder's layers that SparsePO's released code reads (arXiv:2410.05102).

Of each layer, in this order: the MLP's hidden layer (what its last linear layer takes); queries, keys, both after their
rotation, values, and what attention hands to its last linear layer; the residual stream before and after the norm of
attention, what attention adds, the stream with it, that after the norm of the MLP, what the MLP adds, and what is left.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from alignlab.errors import RunError
from alignlab.policies.causal_lm.decoder import block_of, layers_of

SEPARATE = ("q_proj", "k_proj", "v_proj")
FUSED = ("c_attn", "query_key_value")
Rows = Callable[[Any], Tensor]
"""The rows of a tensor of states at the places that are read."""
Read = Callable[[], tuple[Tensor, Tensor]]


@contextmanager
def points_watched(model: Any, places: Int[Tensor, "R"]) -> Iterator[Read]:
    """Read means over the hidden dimension during a forward of the decoder: points `[R, 14, N]`, embeddings `[R]`.

    `places` index its flattened positions. Raises RunError for a decoder that has its points elsewhere.
    """

    def rows(states: Any) -> Tensor:
        tensor = states[0] if isinstance(states, tuple) else states
        return tensor.flatten(0, 1)[places].flatten(1)

    with ExitStack() as stack:
        layers = [_Layer(layer, rows, stack) for layer in layers_of(model)]

        def read() -> tuple[Tensor, Tensor]:
            points = torch.stack([layer.points() for layer in layers], dim=2)
            return points, layers[0].seen["input"].mean(dim=1)

        yield read


class _Layer:
    """What passes through one layer: rows of states by name."""

    def __init__(self, layer: nn.Module, rows: Rows, stack: ExitStack) -> None:
        self.attention, self.rows, self.seen = block_of(layer, "attention"), rows, dict[str, Tensor]()
        self.rotation: tuple[Tensor, Tensor] | None = None
        mlp = block_of(layer, "mlp")
        self._watch(stack, layer, "input", "output")
        self._watch(stack, self.attention, "attention_input", "attention_output")
        self._watch(stack, mlp, "mlp_input", "mlp_output")
        self._watch(stack, _last_linear(mlp), "mlp_hidden", None)
        self._watch(stack, _last_linear(self.attention), "attention_hidden", None)
        children = dict(self.attention.named_children())
        self.fused = next((name for name in FUSED if name in children), None)
        wanted = [self.fused] if self.fused else [name for name in SEPARATE if name in children]
        if not self.fused and len(wanted) < len(SEPARATE):
            raise RunError(
                f"{type(self.attention).__name__} has no layers {', '.join(SEPARATE)} among {', '.join(children)}: "
                "ref_points cannot be read; use objective.loss.mask=activations"
            )
        for name in wanted:
            self._watch(stack, children[name], None, name)
        for name in ("q_norm", "k_norm"):
            if name in children:
                self._watch(stack, children[name], None, name)
        stack.callback(self.attention.register_forward_pre_hook(self._rotated_by, with_kwargs=True).remove)

    def points(self) -> Float[Tensor, "R 14"]:
        """The means of the layer's points."""
        seen = self.seen
        queries, keys, values = self._projections()
        rotated = self._rotated(seen.get("q_norm", queries), seen.get("k_norm", keys))
        states = [
            seen["mlp_hidden"],
            *(queries, keys, *rotated, values, seen["attention_hidden"]),
            *(seen["input"], seen["attention_input"], seen["attention_output"]),
            seen["input"] + seen["attention_output"],
            *(seen["mlp_input"], seen["mlp_output"], seen["output"]),
        ]
        return torch.stack([state.mean(dim=1) for state in states], dim=1)

    def _watch(self, stack: ExitStack, module: nn.Module, taken: str | None, given: str | None) -> None:
        def before(_module: nn.Module, inputs: tuple[Any, ...], named: Mapping[str, Any]) -> None:
            self.seen[taken or ""] = self.rows(inputs[0] if inputs else named["hidden_states"])

        def after(_module: nn.Module, _inputs: Any, output: Any) -> None:
            self.seen[given or ""] = self.rows(output)

        if taken:
            stack.callback(module.register_forward_pre_hook(before, with_kwargs=True).remove)
        if given:
            stack.callback(module.register_forward_hook(after).remove)

    def _rotated_by(self, _module: nn.Module, inputs: tuple[Any, ...], named: Mapping[str, Any]) -> None:
        """Keep cosines and sines of the rotation `[R, d]`, where the layer is given any."""
        given = named.get("position_embeddings")
        if given is None:
            return
        states = inputs[0] if inputs else named["hidden_states"]
        cosines, sines = (self.rows(x.expand(*states.shape[:2], -1)) for x in given)
        self.rotation = cosines, sines

    def _projections(self) -> tuple[Tensor, Tensor, Tensor]:
        if self.fused is None:
            return self.seen["q_proj"], self.seen["k_proj"], self.seen["v_proj"]
        rows = self.seen[self.fused]
        if self.fused == "query_key_value":  # head by head
            rows = rows.reshape(len(rows), -1, 3, self._head_size()).transpose(1, 2).flatten(1)
        queries, keys, values = rows.chunk(3, dim=1)
        return queries, keys, values

    def _rotated(self, queries: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
        """Queries and keys as the model's own function rotates them; as they are, where positions are no rotation."""
        rotate = getattr(sys.modules[type(self.attention).__module__], "apply_rotary_pos_emb", None)
        if (self.rotation is None) != (rotate is None):
            raise RunError(
                f"{type(self.attention).__name__} rotates queries and keys inside itself: ref_points cannot be read; "
                "use objective.loss.mask=activations"
            )
        if self.rotation is None or rotate is None:
            return queries, keys
        heads = (x.reshape(1, len(x), -1, self._head_size()).transpose(1, 2) for x in (queries, keys))
        rotated = rotate(*heads, *(x[None] for x in self.rotation))
        return tuple(x[0].transpose(0, 1).flatten(1) for x in rotated)

    def _head_size(self) -> int:
        size: int = getattr(self.attention, "head_dim", None) or getattr(self.attention, "head_size")  # noqa: B009
        return size


def _last_linear(block: nn.Module) -> nn.Module:
    """The last layer of a block with a weight matrix, which gives what the block adds to the residual stream."""
    linear = [module for module in block.children() if getattr(module, "weight", torch.empty(0)).dim() == 2]
    if not linear:
        raise RunError(
            f"{type(block).__name__} has no linear layers of its own: ref_points cannot be read; use "
            "objective.loss.mask=activations"
        )
    return linear[-1]
