"""What is asked of a sampler, and what it gives: token ids, which go on as they are and are never tokenized again."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from alignlab.sampling.noise import key_of

Ids = Int[np.ndarray, "_"]


class Prompt(NamedTuple):
    """A prompt by its token ids, the generation mark included; its `id` keys the noise of its samples.

    `key` are two words that key the noise in place of the seed and the id, for those who are given a key alone.
    """

    id: str
    ids: Sequence[int]
    key: tuple[int, int] | None = None

    def noise_key(self, seed: int) -> tuple[int, int]:
        """Return the two words that key the noise of all samples of this prompt."""
        return key_of(seed, self.id) if self.key is None else self.key


@dataclass(frozen=True)
class Rollout:
    """The responses drawn for one prompt."""

    id: str
    """The id of the prompt."""
    prompt_ids: Ids
    """Exactly what was read."""
    responses: tuple[Ids, ...]
    """Exactly what was drawn, the token that ends a response included."""
    token_logps: tuple[Float[np.ndarray, "_"], ...]
    """The log-probability of each token in nats, in the distribution drawn from; greedy and contrastive decoding draw
    from none, and have the model's own."""
    finished: tuple[bool, ...]
    """Whether a response has its end; one without was cut at the largest length, or at the model's context."""
    version: int
    """The number of optimizer steps that the weights had seen."""
    sampler: str
    """The name of the sampler and of its settings."""


@dataclass
class Row:
    """One response that is being drawn."""

    prompt: int
    """The number of its prompt."""
    sample: int
    most: int
    """The largest number of tokens that it may have."""
    tokens: list[int] = field(default_factory=list)
    logps: list[float] = field(default_factory=list)
    finished: bool = False

    def add(self, token: int, logp: float, stop: Sequence[int]) -> None:
        """Take up the next token."""
        self.tokens.append(token)
        self.logps.append(logp)
        self.finished = token in stop

    @property
    def ended(self) -> bool:
        """Whether nothing more is drawn."""
        return self.finished or len(self.tokens) >= self.most
