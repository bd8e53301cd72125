"""Features read from inside a decoder: hidden states after every layer, and the mean activation of its blocks."""

from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn

from alignlab.policies.causal_lm.decoder import BLOCKS, block_of, layers_of

FEATURES = frozenset({"layers", "activations", "points", "ends"})
"""The features that can be read: hidden states after every layer, the mean activation of its blocks, and those of all
points inside it (`points.py`) with what comes before and after all layers."""

Seen = Callable[[], dict[str, Tensor]]
Outputs = dict[tuple[str, int], Tensor]
"""What hooks have read, by kind and layer."""


@contextmanager
def watched(model: Any, places: Int[Tensor, "R"], features: Collection[str]) -> Iterator[Seen]:
    """Read `layers [R, N, D]` and `activations [R, 3, N]` during a forward of the decoder.

    `places` index its flattened positions. `activations` are means over the hidden dimension of what
    the attention block, the MLP block and the layer give. Raises RunError for a decoder without them.
    """
    outputs: Outputs = {}
    layers = layers_of(model) if features else []
    with ExitStack() as stack:
        for number, layer in enumerate(layers):
            for kind, block, shrink in _blocks(layer, features):
                hook = partial(_keep, outputs, (kind, number), places, shrink)
                stack.callback(block.register_forward_hook(hook).remove)
        yield partial(_seen, outputs, len(layers), features)


def _blocks(layer: Any, features: Collection[str]) -> Iterator[tuple[str, nn.Module, bool]]:
    """What is watched of a layer: a name, the block, and whether the mean over the hidden dimension is enough."""
    if "layers" in features:
        yield "layers", layer, False
    if "activations" in features:
        yield from ((kind, block_of(layer, kind), True) for kind in BLOCKS)
        yield "residual", layer, True


def _keep(
    outputs: Outputs,
    key: tuple[str, int],
    places: Int[Tensor, "R"],
    shrink: bool,
    _block: nn.Module,
    _inputs: Any,
    output: Any,
) -> None:
    states = output[0] if isinstance(output, tuple) else output
    rows = states.flatten(0, -2)[places]
    outputs[key] = rows.mean(-1) if shrink else rows


def _seen(outputs: Outputs, layers: int, features: Collection[str]) -> dict[str, Tensor]:
    values = {}
    if "layers" in features:
        values["layers"] = _stacked(outputs, "layers", layers)
    if "activations" in features:
        kinds = [_stacked(outputs, kind, layers) for kind in (*BLOCKS, "residual")]
        values["activations"] = torch.stack(kinds, dim=1)
    return values


def _stacked(outputs: Outputs, kind: str, layers: int) -> Tensor:
    return torch.stack([outputs[kind, number] for number in range(layers)], dim=1)
