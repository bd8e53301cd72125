"""Cuts attention over a packed row into few calls that compute little beyond the pairs of tokens that count.

The tokens of a prompt see those before them. A response sees its prompt and itself. So the queries of a prompt,
and those of its responses, together or one by one, make units with the keys they may see; units of like
size are padded to one shape and computed together.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from alignlab.types import Batch

CALL = {"cpu": 2**13, "cuda": 2**20}
"""The fixed cost of a call by type of device, in pairs of a query and a key."""
COPY = 32
"""The cost of copying a key, in pairs of a query and a key."""
MOST = 2**25
"""The largest number of pairs in a call of several units, which bounds the memory of its mask."""


class Unit(NamedTuple):
    """A unit of attention: spans of queries, and of the keys that they may see, by places in the packed row."""

    queries: Sequence[range]
    keys: Sequence[range]
    causal: bool
    """Whether queries and keys are the same tokens, each of which sees all before it."""

    @property
    def shape(self) -> tuple[int, int]:
        """The number of queries, and of keys."""
        return sum(map(len, self.queries)), sum(map(len, self.keys))


class Tile:
    """G units that are computed in one call, padded to Q queries and C keys."""

    def __init__(self, units: Sequence[Unit], batch: Batch) -> None:
        self.causal = units[0].causal
        self.queries, self.real = _padded([unit.queries for unit in units], batch.tokens.device)
        self.keys, self._keys_real = _padded([unit.keys for unit in units], batch.tokens.device)
        self._row, self._positions = batch.row, batch.positions
        self._masks: dict[tuple[int | None, torch.dtype], Tensor] = {}

    def mask(self, window: int | None, dtype: torch.dtype) -> Float[Tensor, "G 1 Q C"]:
        """The additive mask, 0 where a query may see a key, else -inf; made once for all layers."""
        if (window, dtype) not in self._masks:
            blocked = torch.where(self._seen(window), 0.0, -torch.inf)
            self._masks[window, dtype] = blocked.to(dtype)[:, None]
        return self._masks[window, dtype]

    def _seen(self, window: int | None) -> Bool[Tensor, "G Q C"]:
        row_GQ1, row_G1C = self._row[self.queries][:, :, None], self._row[self.keys][:, None]
        ahead = self._positions[self.queries][:, :, None] - self._positions[self.keys][:, None]
        seen = self._keys_real[:, None] & (ahead >= 0) & ((row_G1C < 0) | (row_G1C == row_GQ1))
        return seen if window is None else seen & (ahead < window)


class Plan:
    """The tiles of a packed batch, made once and used by every layer; `device` is the type that they are cut for."""

    def __init__(self, batch: Batch, device: str | None = None) -> None:
        self.device = device or batch.tokens.device.type
        call = CALL.get(self.device, CALL["cuda"])
        self.tiles = [Tile(units, batch) for units in _alike(_units(batch, call), call)]
        self.longest = int(batch.positions.max()) + 1
        real = torch.cat([tile.real.flatten() for tile in self.tiles])
        tokens = torch.cat([tile.queries.flatten() for tile in self.tiles])[real]
        self.place = torch.empty_like(tokens)
        """The place of each token in the concatenated queries of all tiles."""
        self.place[tokens] = real.nonzero().squeeze(1)


def _units(batch: Batch, call: int) -> list[Unit]:
    """The units of the lists, cut in the cheapest way; whole lists where that costs less than a further call."""
    split: list[Unit] = []
    whole: list[Unit] = []
    split_cost = whole_cost = 0
    for prompt, responses in _lists(batch):
        size, total = len(prompt), sum(map(len, responses))
        together = total * (size + total)
        apart = sum(len(r) * (size + len(r)) for r in responses) + COPY * size * (len(responses) - 1)
        split_cost += size**2 // 2 + min(together, apart)
        whole_cost += (size + total) ** 2
        every = [prompt, *responses]
        whole.append(Unit(every, every, causal=False))
        split.append(Unit([prompt], [prompt], causal=True))
        parts = [responses] if together <= apart else [[response] for response in responses]
        split += [Unit(part, [prompt, *part], causal=False) for part in parts]
    return whole if whole_cost - split_cost <= call else split


def _alike(units: Iterable[Unit], call: int) -> Iterator[list[Unit]]:
    """Yield units to compute together: one joins those before it where its padding costs less than a call."""
    group: list[Unit] = []
    widest = longest = 0
    for unit in sorted(units, key=lambda unit: (unit.causal, *reversed(unit.shape)), reverse=True):
        queries, keys = unit.shape
        wide, long = max(widest, queries), max(longest, keys)
        waste = (len(group) + 1) * wide * long - len(group) * widest * longest - queries * keys
        full = (len(group) + 1) * wide * long > MOST
        if group and (unit.causal != group[0].causal or waste > call or full):
            yield group
            group, wide, long = [], queries, keys
        group.append(unit)
        widest, longest = wide, long
    yield group


def _lists(batch: Batch) -> Iterator[tuple[range, list[range]]]:
    """Yield each prompt with the responses that continue it, as spans of places."""
    span_T = batch.prompt * (len(batch.row_lengths) + 1) + batch.row + 1
    _, lengths = torch.unique_consecutive(span_T, return_counts=True)
    ends = lengths.cumsum(0)
    facts = torch.stack([ends - lengths, ends, batch.prompt[ends - 1], batch.row[ends - 1]], dim=1).tolist()
    prompts = {prompt: range(start, end) for start, end, prompt, row in facts if row < 0}
    for number, span in prompts.items():
        yield span, [range(start, end) for start, end, prompt, row in facts if row >= 0 and prompt == number]


def _padded(groups: Sequence[Sequence[range]], device: torch.device) -> tuple[Tensor, Tensor]:
    """The places of the tokens of each unit, padded with its last, and a mask of the real ones."""
    places = [np.concatenate([np.arange(span.start, span.stop) for span in spans]) for spans in groups]
    width = max(map(len, places))
    padded = np.stack([np.pad(place, (0, width - len(place)), mode="edge") for place in places])
    real = np.arange(width) < np.array([[len(place)] for place in places])
    return torch.from_numpy(padded).to(device), torch.from_numpy(real).to(device)
