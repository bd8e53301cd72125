"""The records that travel through alignlab: `Example` -> `Batch` -> `Scores` -> `Outcome`.

Shape legend, used in every annotation and as a suffix in bodies:

    B  lists (a prompt with its responses)     P  better/worse pairs
    K  responses of a list                     T  tokens of a packed micro-batch
    N  real responses in the micro-batch       R  response tokens among the T
    A  attributes that responses are rated in

A pair is a list with K=2, a thumbs-up a list with K=1, a ranked set a list with K>2.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

Message = dict[str, Any]
"""One turn of a conversation: `{"role": "system" | "user" | "assistant" | "tool", "content": text}`.

A turn may also have what the chat template is to write: `reasoning_content` (or `reasoning`, `thinking`), `name` and
`tool_call_id` (texts), and `tool_calls` (a list).
"""


@dataclass(frozen=True, slots=True)
class Example:
    """One list of preference data: a prompt, its responses, and what is known of their order.

    `labels` say which response is better (larger is better; rated sources scale them to [0, 1]);
    `rewards` keep the raw scores of the source. A response is a list of messages, or a string,
    which stands for a single assistant turn.

    A list of drawn responses carries in `meta` what its sampler told of them, by the names of those signals
    (`signals.DRAWN`): a list with one value for each response (`behavior_logps`, `finished`, `from_reference`), or with
    one list for each response, of one value for each of its tokens (`token_behavior_logps`, `token_old_logps`,
    `token_behavior_values`). Such responses hold token ids (`data.encoding.id_turns`), so that values and tokens agree.
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
    from its prompt. `slot` holds the numbers of a list's responses (-1 where a list is shorter).
    """

    tokens: Int[Tensor, "T"]
    positions: Int[Tensor, "T"]
    prompt: Int[Tensor, "T"]
    """The number of the prompt that a token belongs to, or continues."""
    row: Int[Tensor, "T"]
    """The number (0..N-1) of the response that a token belongs to; -1 on prompt tokens."""
    slot: Int[Tensor, "B K"]
    labels: Float[Tensor, "B K"]
    weights: Float[Tensor, "B"]
    ids: tuple[str, ...]
    rewards: Float[Tensor, "B K"] | None = None
    cached: Mapping[str, Float[Tensor, "B K"]] = field(default_factory=dict)
    """Signals of references that were computed before, by name: `ref_logps` in nats, ..."""
    drawn: Mapping[str, Float[Tensor, "B K ..."]] = field(default_factory=dict)
    """What the sampler told of the responses (`signals.DRAWN`), by name: `[B, K]`, or `[B, K, L]` by token."""
    extra: Mapping[str, Int[Tensor, "B ..."]] = field(default_factory=dict)
    """Numbers of extra responses that belong to no slot of their list, by kind: `mismatched` (this prompt with
    another list's response), `rationale`, `sample` (`[B, M]`: what the policy drew for this prompt); -1 where a list
    has none."""
    step: Int[Tensor, "T"] | None = None
    """The reasoning step of its response that a token belongs to, from 0; -1 on prompts; None without steps."""
    wins: Float[Tensor, "B K K"] | None = None
    """Who was preferred to whom: 1, 0, or 1/2 for neither; None where no loss asks."""
    ratings: Float[Tensor, "B K A"] | None = None
    """The rating of each response by attribute, NaN where it is not known; None where no policy asks."""
    tasks: Int[Tensor, "B"] | None = None
    """The number of the source of each list among those of the data; None where no loss asks."""
    users: tuple[str, ...] = ()
    """The user whose preferences each list holds; empty where no policy asks."""
    idle: bool = False
    """Whether this is a copy that keeps the rank in step with others that have more to do, and counts for nothing."""

    @property
    def where(self) -> Bool[Tensor, "B K"]:
        """True where a list has a response."""
        return self.slot >= 0

    @cached_property
    def is_response(self) -> Bool[Tensor, "T"]:
        """True on response tokens."""
        return self.row >= 0

    @cached_property
    def row_lengths(self) -> Int[Tensor, "N"]:
        """The number of tokens of each response."""
        return torch.bincount(self.row[self.is_response])

    def slotted(self, values: Shaped[Tensor, "N *D"]) -> Shaped[Tensor, "B K *D"]:
        """The values of responses in the slots of their lists; 0 in empty slots."""
        return torch.cat([values, values.new_zeros(1, *values.shape[1:])])[self.slot]

    def dense(self, values: Shaped[Tensor, "R *D"]) -> Shaped[Tensor, "B K L *D"]:
        """The values of response tokens at their places in the lists; 0 beyond the end of a response."""
        lengths_N = self.row_lengths
        starts_N = lengths_N.cumsum(0) - lengths_N
        lengths_BK = self.slotted(lengths_N)
        place_L = torch.arange(int(lengths_BK.max()), device=values.device)
        inside_BKL = place_L < lengths_BK[..., None]
        source_BKL = self.slotted(starts_N)[..., None] + place_L
        out = values.new_zeros(*inside_BKL.shape, *values.shape[1:])
        out[inside_BKL] = values[source_BKL[inside_BKL]]
        return out

    def to(self, device: torch.device | str, **_: Any) -> "Batch":
        """This micro-batch on another device."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        moved: dict[str, Any] = {k: v.to(device) for k, v in values.items() if isinstance(v, Tensor)}
        for name in ("cached", "drawn", "extra"):
            moved[name] = {key: value.to(device) for key, value in values[name].items()}
        return replace(self, **moved)


@dataclass(frozen=True)
class Scores:
    """The signals that every policy returns; log-probabilities and divergences are in nats, summed over a response."""

    token_logps: Float[Tensor, "R"]
    """The log-probability of each response token in nats, in the order of the packed batch."""
    logps: Float[Tensor, "B K"]
    """The log-probability of each response in nats; 0 in empty slots."""
    lengths: Float[Tensor, "B K"]
    """The number of tokens of each response, the end-of-sequence token included."""
    more: Mapping[str, Tensor] = field(default_factory=dict)
    """Other signals that were asked for, by name, in the shapes of `signals.py`."""
    tokens: Mapping[str, Shaped[Tensor, "R ..."]] = field(default_factory=dict)
    """Signals of response tokens that were asked for, in the order of the packed batch."""

    def signals(self, batch: Batch) -> dict[str, Tensor]:
        """All signals that were computed for the batch, by name, in the shapes of `signals.py`."""
        dense = {name: batch.dense(values) for name, values in self.tokens.items()}
        return {"logps": self.logps, "lengths": self.lengths, **self.more, **dense}


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
        """The share of this part in a mean over `count` elements, of which it may hold only some.

        A count of 0 divides by 1: nothing was counted, or a plain sum is wanted.
        """
        return self.sum / torch.where(count > 0, count, torch.ones_like(count))


Reported = Tensor | float | tuple[Tensor | float, Tensor | float]
"""What a term reports under one name, to be watched and not trained on.

Values that are averaged as the term's own are, in the same shape (of a mask: how often it is True); (values, counts),
whose mean is `sum(values) / sum(counts)`; or a number that is one for the whole step.
"""
Reports = Mapping[str, Reported]
"""What a loss, modifier or regularizer may return beside its values, by name: `return values, reports`."""


@dataclass(frozen=True)
class Outcome:
    """The result of an objective: named parts of the loss, the unreduced values behind them, and what terms report."""

    parts: Mapping[str, Part]
    values: Mapping[str, Tensor]
    reports: Mapping[str, Part] = field(default_factory=dict)
    """Numbers of the terms' own, without gradient, by metric name, `<term>/<name>`; like `parts`, they add up."""

    @property
    def loss(self) -> Float[Tensor, ""]:
        """The loss of this batch alone."""
        return self.loss_over({name: part.count for name, part in self.parts.items()})

    def loss_over(self, counts: Mapping[str, Float[Tensor, ""]]) -> Float[Tensor, ""]:
        """The share of this batch in the loss of a global batch that holds `counts` elements for each part."""
        shares = [part.weight * part.over(counts[name]) for name, part in self.parts.items()]
        return torch.stack(shares).sum()
