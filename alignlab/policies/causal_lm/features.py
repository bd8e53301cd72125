"""Features read from inside a decoder: hidden states after every layer, and the mean activation of its blocks."""

from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn

from alignlab.policies.causal_lm.decoder import BLOCKS, block_of, layers_of

FEATURES = frozenset({"layers", "activations", "points", "ends"})
"""The features that can be read: hidden states after every layer, the mean activation of its blocks, and those of all
points inside it (`points.py`) with what comes before and after all layers."""

Seen = Callable[[], dict[str, Tensor]]


@contextmanager
def watched(model: Any, places: Int[Tensor, "R"], features: Collection[str]) -> Iterator[Seen]:
    """Read `layers [R, N, D]` and `activations [R, 3, N]` during a forward of the decoder.

    `places` index its flattened positions. `activations` are means over the hidden dimension of what
    the attention block, the MLP block and the layer give. Raises RunError for a decoder without them.
    """
    outputs: dict[tuple[str, int], Tensor] = {}

    def keep(kind: str, layer: int, shrink: bool) -> Callable[..., None]:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            states = output[0] if isinstance(output, tuple) else output
            rows = states.flatten(0, -2)[places]
            outputs[kind, layer] = rows.mean(-1) if shrink else rows

        return hook

    layers = layers_of(model) if features else []
    with ExitStack() as stack:
        for number, layer in enumerate(layers):
            blocks = [("layers", layer, False)] if "layers" in features else []
            if "activations" in features:
                blocks += [(kind, block_of(layer, kind), True) for kind in BLOCKS] + [
                    ("residual", layer, True)
                ]
            for kind, block, shrink in blocks:
                stack.callback(block.register_forward_hook(keep(kind, number, shrink)).remove)

        def stacked(kind: str) -> Tensor:
            return torch.stack([outputs[kind, number] for number in range(len(layers))], dim=1)

        def seen() -> dict[str, Tensor]:
            values = {}
            if "layers" in features:
                values["layers"] = stacked("layers")
            if "activations" in features:
                values["activations"] = torch.stack([stacked(kind) for kind in (*BLOCKS, "residual")], dim=1)
            return values

        yield seen
