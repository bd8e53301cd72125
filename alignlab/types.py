"""What travels through alignlab: `Example` -> `Batch` -> `Scores` -> `Outcome`.

Shape legend, used in every annotation and as a suffix in bodies:

    B  lists (a prompt with its responses)     P  better/worse pairs
    K  responses of a list                     T  tokens of a packed micro-batch
    N  real responses in the micro-batch       R  response tokens among the T

A pair is a list with K=2, a thumbs-up a list with K=1, a ranked set a list with K>2.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

Message = dict[str, str]
"""One turn: `{"role": "system" | "user" | "assistant", "content": text}`."""


@dataclass(frozen=True, slots=True)
class Example:
    """One row of preference data: a prompt, its responses, and what is known of their order.

    `labels` say which response is better (larger is better; rated sources scale them to [0, 1]);
    `rewards` keep the raw scores of the source. A response is a list of messages, or a string,
    which stands for a single assistant turn.
    """

    prompt: list[Message]
    responses: list[list[Message] | str]
    labels: list[float]
    rewards: list[float] | None = None
    weight: float = 1.0
    id: str = ""
    meta: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Batch:
    """One micro-batch: the tokens of its lists in one row, each prompt once, no padding.

    A prompt's tokens are followed by those of its responses; `positions` of a response continue
    from its prompt. `slot` finds a list's responses among the rows (-1 where a list is shorter).
    """

    tokens: Int[Tensor, "T"]
    positions: Int[Tensor, "T"]
    prompt: Int[Tensor, "T"]
    """Which prompt a token belongs to, or continues."""
    row: Int[Tensor, "T"]
    """Which response (0..N-1) a token belongs to; -1 on prompt tokens."""
    slot: Int[Tensor, "B K"]
    labels: Float[Tensor, "B K"]
    weights: Float[Tensor, "B"]
    ids: tuple[str, ...]
    rewards: Float[Tensor, "B K"] | None = None
    ref_logps: Float[Tensor, "B K"] | None = None
    """Cached log-probabilities under the reference, in nats per response."""

    @property
    def where(self) -> Bool[Tensor, "B K"]:
        """True where a list has a response."""
        return self.slot >= 0

    @property
    def is_response(self) -> Bool[Tensor, "T"]:
        """True on response tokens."""
        return self.row >= 0

    def to(self, device: torch.device | str, **_: Any) -> "Batch":
        """The same micro-batch on another device."""
        moved: dict[str, Any] = {k: v.to(device) for k, v in vars(self).items() if isinstance(v, Tensor)}
        return replace(self, **moved)


@dataclass(frozen=True)
class Scores:
    """What every policy returns. Log-probabilities and divergences are in nats, sums per response."""

    token_logps: Float[Tensor, "R"]
    """One value a response token, in the order of the packed batch."""
    logps: Float[Tensor, "B K"]
    lengths: Float[Tensor, "B K"]
    """Response tokens, the end-of-sequence token included."""
    ref_logps: Float[Tensor, "B K"] | None = None
    """`logps` under the live reference that was given."""
    kl_reverse: Float[Tensor, "B K"] | None = None
    """KL(policy || reference) over the full vocabulary, summed over the response's positions."""
    kl_forward: Float[Tensor, "B K"] | None = None
    """KL(reference || policy), likewise."""


@dataclass(frozen=True)
class Part:
    """A weighted share of the loss as (sum, count), so that parts of a global batch add up."""

    sum: Float[Tensor, ""]
    count: Float[Tensor, ""]
    weight: float = 1.0

    @property
    def mean(self) -> Float[Tensor, ""]:
        """`sum / count`; 0 (with its graph kept) where nothing was counted."""
        return self.over(self.count)

    def over(self, count: Float[Tensor, ""]) -> Float[Tensor, ""]:
        """This share of a mean over `count` elements, of which this part may hold only some.

        A count of 0 divides by 1: nothing was counted, or a plain sum is wanted.
        """
        return self.sum / torch.where(count > 0, count, torch.ones_like(count))


@dataclass(frozen=True)
class Outcome:
    """What an objective returns: named parts of the loss, and the unreduced values behind them."""

    parts: Mapping[str, Part]
    values: Mapping[str, Tensor]

    @property
    def loss(self) -> Float[Tensor, ""]:
        """The loss of this batch alone."""
        return self.loss_over({name: part.count for name, part in self.parts.items()})

    def loss_over(self, counts: Mapping[str, Float[Tensor, ""]]) -> Float[Tensor, ""]:
        """This batch's share of the loss of a global batch that holds `counts` elements a part."""
        shares = [part.weight * part.over(counts[name]) for name, part in self.parts.items()]
        return torch.stack(shares).sum()
