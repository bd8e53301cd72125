"""Ways of drawing that give lists with labels of their own, in place of whole responses that a judge compares.

A class of the config group `draw` is a `Way`: it is built with its settings by name, and called with prompts.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from alignlab.judges.judge import Asked, Judge
from alignlab.judges.worth import lines_of
from alignlab.online.listed import Listed
from alignlab.sampling.generator import Generator
from alignlab.sampling.rollout import Prompt
from alignlab.sampling.settings import Sampling
from alignlab.types import Message

Ids = NDArray[np.int64]


@dataclass(frozen=True)
class Start:
    """A prompt of the data, with what its row holds."""

    prompt: Prompt
    row: int
    """The number of the row."""
    messages: Sequence[Message]
    """The turns of the prompt."""
    responses: tuple[Ids, ...]
    """The token ids of the responses that the row has."""
    labels: Sequence[float]
    """One a response; larger is better."""
    meta: Mapping[str, Any]
    """What the row knows beside."""

    @property
    def text(self) -> str:
        """The contents of the prompt's turns, a line each."""
        return lines_of(self.messages)

    def asked(self, texts: Sequence[str], finished: Sequence[bool]) -> Asked:
        """Return these responses as what a judge is asked."""
        return Asked(self.prompt.id, self.messages, tuple(texts), tuple(finished), self.meta)


@dataclass(frozen=True)
class Drawing:
    """What a way of drawing works with."""

    generator: Generator
    how: Sampling
    """How tokens are drawn, and at most how many at once."""
    samples: int
    """`online.samples`."""
    stops: frozenset[int]
    """The tokens that end a response."""
    step_ends: frozenset[int]
    """The tokens that end a step of a response (`data.step_delimiter`)."""
    decode: Callable[[Any], str]
    """Gives the text of token ids."""
    judge: Judge | None
    seed: int


class Way(Protocol):
    """A way of drawing lists; its `name` says all that they depend on, beside the weights and `Drawing.how`."""

    judged: bool
    """Whether it asks a judge, and cannot do without."""
    rated: bool
    """Whether its responses have rewards."""

    @property
    def name(self) -> str:
        """The name of the way, with its settings."""
        ...

    def __call__(self, starts: Sequence[Start], by: Drawing) -> list[list[Listed]]:
        """Return the lists of each start, one at least: a dropped one with its reason where there are none."""
        ...

    def longest(self, given: int, most: int) -> int:
        """Return the largest length of a response, in tokens.

        The longest that the row has is of `given` tokens, and `most` are drawn at once.
        """
        ...
