"""The signals of a micro-batch under a policy and its references."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from alignlab.policies.causal_lm.head import AGAINST, ALONE, Head, token_scores
from alignlab.policies.causal_lm.steps import step_signals
from alignlab.types import Batch, Scores

ALWAYS = ("ref_logps", "ref2_logps")
"""Signals that come with their references, wanted or not."""
TOKENS = {"token_logps": "logps", "token_ref_logps": "ref_logps", "token_kl_forward": "kl_forward"}
"""Signals by token, and the quantity that each of them is."""
FEATURES = ("layers", "activations")
"""What `features.py` reads inside a decoder; a signal with the prefix of a reference."""


@dataclass(frozen=True)
class Encoded:
    """What a decoder gives where the tokens of a batch are predicted."""

    hidden: Float[Tensor, "R D"]
    """Final hidden states, for response tokens."""
    prompt_hidden: Float[Tensor, "Q D"] | None = None
    """The same for the tokens of prompts that have one before them."""
    features: Mapping[str, Float[Tensor, "R ..."]] = field(default_factory=dict)
    """`layers [R, N, D]` and `activations [R, 3, N]`."""


@runtime_checkable
class Encoder(Protocol):
    """A model that can be scored: its decoder, and its head apart."""

    @property
    def head(self) -> Head:
        """From hidden states to logits."""
        ...

    def encode(self, batch: Batch, *, prompts: bool = False, features: Collection[str] = ()) -> Encoded:
        """Hidden states for response tokens; for prompt tokens, and features, where asked for."""
        ...


def score(
    batch: Batch,
    policy: Encoder,
    reference: Encoder | None = None,
    reference2: Encoder | None = None,
    wanted: Collection[str] = (),
) -> Scores:
    """Log-probabilities and lengths of all responses, and those of the wanted signals that can be had.

    `ref_logps` and `ref2_logps` come with their references. References get no gradient.
    """
    values, prompts, features = _found(batch, policy, reference, reference2, wanted)
    sums_N = {name: per_row(value, batch) for name, value in values.items()}
    more = {name: batch.slotted(value) for name, value in sums_N.items()} | prompts
    logps, lengths = more.pop("logps"), batch.slotted(batch.row_lengths).to(values["logps"].dtype)
    if "ref_entropy" in more:
        more["ref_entropy"] = relative_entropy(more["ref_entropy"], lengths, policy.head.vocabulary)
    for row, index_B in batch.extra.items():
        for name in sums_N.keys() & {"logps", "ref_logps"}:
            more[f"{row}_{name}"] = torch.cat([sums_N[name], sums_N[name].new_zeros(1)])[index_B]
    more |= step_signals(batch, values, features["hidden"], wanted)
    tokens = features | {name: values[of] for name, of in TOKENS.items() if of in values}
    return Scores(
        token_logps=values["logps"],
        logps=logps,
        lengths=lengths,
        more={name: value for name, value in more.items() if name in ALWAYS or name in wanted},
        tokens={name: value.to(logps.dtype) for name, value in tokens.items() if name in wanted},
    )


def _found(
    batch: Batch,
    policy: Encoder,
    reference: Encoder | None,
    reference2: Encoder | None,
    wanted: Collection[str],
) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]:
    """By name: quantities of response tokens `[R]`, log-probabilities of prompts `[B, K]`, features `[R, ...]`.

    The references come first, so that nothing of theirs is in memory beside the policy's graph but
    what it is compared with.
    """
    values: dict[str, Tensor] = {}
    prompts: dict[str, Tensor] = {}
    features: dict[str, Tensor] = {}
    against: tuple[Tensor, Head] | None = None
    targets = batch.tokens[batch.is_response]
    for prefix, model in (("ref_", reference), ("ref2_", reference2), ("", policy)):
        if model is None:
            continue
        with torch.set_grad_enabled(torch.is_grad_enabled() and not prefix):
            asked = [name for name in FEATURES if prefix + name in wanted]
            seen = model.encode(batch, prompts=f"{prefix}prompt_logps" in wanted, features=asked)
            names = [name for name in ALONE if name == "logps" or prefix + name in wanted]
            if not prefix and against is not None:
                names += [name for name in AGAINST if name in wanted or f"token_{name}" in wanted]
            found = token_scores(seen.hidden, targets, model.head, names=names, reference=against)
            if seen.prompt_hidden is not None:
                prompts[f"{prefix}prompt_logps"] = _prompt_logps(batch, seen.prompt_hidden, model.head)
        if prefix == "ref_":
            against = seen.hidden, model.head
        values |= {prefix + name: value for name, value in found.items()}
        features |= {prefix + name: value for name, value in {**seen.features, "hidden": seen.hidden}.items()}
    return values, prompts, features


def relative_entropy(
    entropy: Float[Tensor, "B K"], lengths: Float[Tensor, "B K"], vocabulary: int
) -> Float[Tensor, "B K"]:
    """Mean over the tokens of a response of entropy / ln(vocabulary), from the sum of their entropies in nats."""
    return entropy / lengths.clamp(min=1) / math.log(vocabulary)


def per_row(values: Float[Tensor, "R"], batch: Batch) -> Float[Tensor, "N"]:
    """Sum token values over each row."""
    return torch.segment_reduce(values, "sum", lengths=batch.row_lengths)


def prompt_targets(batch: Batch) -> Int[Tensor, "Q"]:
    """Places of the prompt tokens that have one before them."""
    return torch.nonzero(~batch.is_response & (batch.positions > 0)).squeeze(1)


def _prompt_logps(batch: Batch, hidden: Float[Tensor, "Q D"], head: Head) -> Float[Tensor, "B K"]:
    """Log-probability of the prompt that each response continues."""
    places = prompt_targets(batch)
    logps = token_scores(hidden, batch.tokens[places], head)["logps"]
    sums = logps.new_zeros(int(batch.prompt.max()) + 1).index_add(0, batch.prompt[places], logps)
    starts_N = batch.row_lengths.cumsum(0) - batch.row_lengths
    return batch.slotted(sums[batch.prompt[batch.is_response][starts_N]])
