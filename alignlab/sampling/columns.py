"""Keys and values of a layer in columns that end together, with room behind them: a token is written in place."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

ROOM = 64
"""The number of columns that are added when a layer is full."""


class Columns(DynamicLayer):  # type: ignore[no-untyped-call]
    """The cache of a layer of full attention; transformers' own copies all it holds at every token."""

    keys: Any
    values: Any

    def __init__(self, keys: Any, values: Any) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.dtype, self.device, self.is_initialized = keys.dtype, keys.device, True
        self.hold(keys, values)

    def hold(self, keys: Tensor, values: Tensor) -> None:
        """Have these as its content, with room behind them."""
        self._begin, self._end = 0, keys.shape[-2]
        self._stores = [_with_room(states) for states in (keys, values)]
        self._show()

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Take up the states of new tokens, and return those of all."""
        end = self._end + key_states.shape[-2]
        if end > self._stores[0].shape[-2]:
            self.hold(self.keys, self.values)
            end = self._end + key_states.shape[-2]
        for store, new in zip(self._stores, (key_states, value_states), strict=True):
            store[:, :, self._end : end] = new
        self._end = end
        self._show()
        return self.keys, self.values

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep these rows."""
        self._stores = [store[indices] for store in self._stores]
        self._show()

    def widen(self, width: int) -> None:
        """Have so many columns; new ones on the left hold nothing that a mask lets through."""
        more = width - (self._end - self._begin)
        if more > self._begin:
            self.hold(*(F.pad(states, (0, 0, more, 0)) for states in (self.keys, self.values)))
        else:
            self._begin -= more
            self._show()

    def _show(self) -> None:
        self.keys, self.values = (store[:, :, self._begin : self._end] for store in self._stores)


def own_layers(layers: Sequence[Any]) -> list[Any]:
    """Return the layers of a cache as ones that can be widened.

    Raises ValueError where one holds something else than keys and values of attention.
    """
    if any(type(layer) not in (Columns, DynamicLayer, DynamicSlidingWindowLayer) for layer in layers):
        raise ValueError("its cache holds something else than keys and values of attention")
    return [Columns(layer.keys, layer.values) if type(layer) is DynamicLayer else layer for layer in layers]


def widen(layer: Any, width: int) -> None:
    """Have so many columns in a layer, by padding on the left, or by leaving some out there."""
    if isinstance(layer, Columns):
        layer.widen(width)
        return
    layer.cumulative_length = width
    more = min(width, layer.sliding_window - 1) - layer.keys.shape[-2]
    layer.keys, layer.values = (F.pad(states, (0, 0, more, 0)) for states in (layer.keys, layer.values))


def join(layer: Any, other: Any) -> None:
    """Add the rows of another layer of as many columns behind those of a layer."""
    keys, values = torch.cat([layer.keys, other.keys]), torch.cat([layer.values, other.values])
    if isinstance(layer, Columns):
        layer.hold(keys, values)
    else:
        layer.keys, layer.values = keys, values


def _with_room(states: Tensor) -> Tensor:
    rows, heads, width, size = states.shape
    store = states.new_empty(rows, heads, width + ROOM, size)
    store[:, :, :width] = states
    return store
