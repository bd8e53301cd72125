"""Measures how the memory of a forward and backward grows with the lists of a micro-batch, at any depth."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alignlab.planner.traced import Faked, Pass, Working, even_batch
from alignlab.policies.causal_lm.head import CHUNK_ELEMENTS

MOST_LISTS = 8
"""The number of lists at which a chunk of logits is assumed to be full at the latest."""
SHALLOW = 2
"""The least number of layers of the shallower of the two models that are traced."""

Build = Callable[[Any], Any]
"""A function that builds a model from a transformers config."""


@dataclass(frozen=True)
class Lists:
    """The shape of a micro-batch of equal lists."""

    responses: int
    """The number of responses of a list."""
    prompt: int
    """The length of a prompt in tokens."""
    response: int
    """The length of a response in tokens."""

    def tokens(self, *, packed: bool) -> int:
        """The tokens of one list as a model reads it: with its prompt once (`packed`), or before each response."""
        return (self.prompt if packed else self.responses * self.prompt) + self.responses * self.response


@dataclass(frozen=True)
class Growth:
    """The bytes beside weights and gradients, measured at a few numbers of lists."""

    lists: NDArray[np.float64]
    """The numbers of lists that were measured, ascending."""
    figures: Mapping[str, NDArray[np.float64]]
    """Each figure of `Working` by its name, one value a number of lists."""
    packed: bool
    """Whether the model reads each prompt once."""

    def at(self, lists: int) -> Working:
        """The bytes at `lists` lists, on the line through the two nearest numbers that were measured."""
        last = max(1, min(int(np.searchsorted(self.lists, lists)), len(self.lists) - 1))
        left, right = self.lists[last - 1], self.lists[last]
        share = (lists - left) / (right - left)
        line = {name: (1 - share) * y[last - 1] + share * y[last] for name, y in self.figures.items()}
        return Working(**line)

    @property
    def fixed(self) -> float:
        """The bytes that are kept however few the lists: under autocast, weights in its precision."""
        return max(0.0, self.at(0).kept)


def growth(config: Any, build: Build, shape: Lists, run: Pass) -> Growth:
    """Measure two shallow models of an architecture, and extrapolate to its whole depth.

    Layers repeat, so every figure is linear in their number.
    """
    whole, period = config.num_hidden_layers, _period(config)
    depths = [period * -(-SHALLOW // period), 2 * period * -(-SHALLOW // period)]
    if depths[-1] >= whole:
        depths = [whole]
    tried = _tried(config, shape, run)
    rows, packed = [], False
    for depth in depths:
        model = Faked(lambda depth=depth: build(_cut(config, depth)), run)  # type: ignore[misc]
        packed = model.packed
        rows.append(
            [model.working(even_batch(n, shape.responses, shape.prompt, shape.response)) for n in tried]
        )
    figures = {}
    for field in fields(Working):
        values = np.array([[getattr(working, field.name) for working in row] for row in rows], dtype=float)
        steps = (whole - depths[0]) / (depths[-1] - depths[0]) if len(depths) > 1 else 0.0
        figures[field.name] = values[0] + steps * (values[-1] - values[0])
    return Growth(np.array(tried, dtype=float), figures, packed)


def _tried(config: Any, shape: Lists, run: Pass) -> list[int]:
    """The numbers of lists to measure: one, and around those that fill chunks of logits; then memory grows evenly."""
    tokens = CHUNK_ELEMENTS[run.device] / config.get_text_config().vocab_size
    full = min(MOST_LISTS, 1 + int(tokens / (shape.responses * shape.response)))
    return sorted({1, full, 3 * full, 4 * full})


def _cut(config: Any, layers: int) -> Any:
    """A config of the same architecture with its first layers only."""
    cut = copy.deepcopy(config)
    for name, values in _by_layer(config).items():
        setattr(cut, name, values[:layers])
    cut.num_hidden_layers = layers
    return cut


def _by_layer(config: Any) -> dict[str, list[Any]]:
    """The settings of a config that have an entry for each layer."""
    settings = config.to_dict()
    return {k: v for k, v in settings.items() if isinstance(v, list) and len(v) == config.num_hidden_layers}


def _period(config: Any) -> int:
    """The number of layers after which their kinds repeat."""
    kinds = list(zip(*_by_layer(config).values(), strict=True)) or [()] * config.num_hidden_layers
    return next(p for p in range(1, len(kinds) + 1) if all(k == kinds[i % p] for i, k in enumerate(kinds)))
