"""The signals of a micro-batch, computed from the hidden states of a policy and its references."""

import math
from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from alignlab.policies.causal_lm.decoupled import decoupled_logps
from alignlab.policies.causal_lm.distributions import QUANTITIES, quantities
from alignlab.policies.causal_lm.features import FEATURES
from alignlab.policies.causal_lm.head import Head, token_scores
from alignlab.policies.causal_lm.steps import STEP_SIGNALS, step_signals
from alignlab.signals import BASE
from alignlab.types import Batch, Scores

PREFIXES = ("ref_", "")
"""The prefixes in names of signals of the reference and of the policy."""
OTHER = "other_ref_logps"
DECOUPLED = "decoupled_logps"
PROVIDED = frozenset(BASE) & {
    *(prefix + name for prefix in PREFIXES for name in (*QUANTITIES, *FEATURES, "hidden", "prompt_logps")),
    *(f"token_{prefix}{name}" for prefix in PREFIXES for name in QUANTITIES),
    *(f"{row}_{prefix}logps" for prefix in PREFIXES for row in ("mismatched", "rationale", "sample")),
    *STEP_SIGNALS,
    OTHER,
    DECOUPLED,
}
"""The names of all signals that `score` can give."""


@dataclass(frozen=True)
class Encoded:
    """The result of a decoder at the places where the tokens of a batch are predicted."""

    hidden: Float[Tensor, "R D"]
    """The final hidden states that predict response tokens."""
    prompt_hidden: Float[Tensor, "Q D"] | None = None
    """The final hidden states that predict prompt tokens, each prompt's first token left out; None if not asked for."""
    features: Mapping[str, Float[Tensor, "R ..."]] = field(default_factory=dict)
    """The features `layers [R, N, D]` and `activations [R, 3, N]`, where asked for."""


@runtime_checkable
class Encoder(Protocol):
    """The protocol of a model that can be scored: its decoder, and its head apart."""

    @property
    def head(self) -> Head:
        """The map from hidden states to logits."""
        ...

    def encode(self, batch: Batch, *, prompts: bool = False, features: Collection[str] = ()) -> Encoded:
        """Return hidden states for response tokens; for prompt tokens, and features, where asked for."""
        ...


def score(
    batch: Batch,
    policy: Encoder,
    reference: Encoder | None = None,
    others: Sequence[Encoder] = (),
    wanted: Collection[str] = (),
    *,
    decoupling: float = 0.0,
) -> Scores:
    """Return log-probabilities and lengths of all responses, and the wanted signals that are available.

    Every model that is there is scored, so that `ref_logps` and `other_ref_logps` come with their references.
    References get no gradient. `decoupling` is the lambda of `decoupled_logps`.
    """
    models = dict(zip(PREFIXES, (reference, policy), strict=True))
    asked = {*wanted, *(f"{prefix}logps" for prefix, model in models.items() if model is not None)}
    under_others = [_logps_under(other, batch) for other in others]
    values, prompts, features = _by_token(batch, models, asked)
    if DECOUPLED in asked and reference is not None:
        scored = (features["hidden"], policy.head), (features["ref_hidden"], reference.head)
        values[DECOUPLED] = decoupled_logps(*scored, batch.tokens[batch.is_response], away=decoupling)
    sums_N = {name: per_row(value, batch) for name, value in values.items()}
    more = {name: batch.slotted(value) for name, value in sums_N.items()} | prompts
    logps, lengths = more.pop("logps"), batch.slotted(batch.row_lengths).to(values["logps"].dtype)
    if "ref_entropy" in more:
        more["ref_entropy"] = relative_entropy(more["ref_entropy"], lengths, policy.head.vocabulary)
    for row, numbers in batch.extra.items():
        for name in sums_N.keys() & {"logps", "ref_logps"}:
            more[f"{row}_{name}"] = torch.cat([sums_N[name], sums_N[name].new_zeros(1)])[numbers]
    more |= step_signals(batch, values, features["hidden"], asked)
    if under_others:
        more[OTHER] = torch.stack(under_others, dim=2).to(logps.dtype)
        asked.add(OTHER)
    tokens = features | {f"token_{name}": value for name, value in values.items()}
    return Scores(
        token_logps=values["logps"],
        logps=logps,
        lengths=lengths,
        more={name: value for name, value in more.items() if name in asked},
        tokens={name: value.to(logps.dtype) for name, value in tokens.items() if name in asked},
    )


@torch.no_grad()
def _logps_under(model: Encoder, batch: Batch) -> Float[Tensor, "B K"]:
    """Return the log-probability of each response under a further reference, which leaves nothing in memory."""
    hidden = model.encode(batch).hidden
    logps = token_scores(hidden, batch.tokens[batch.is_response], model.head)["logps"]
    return batch.slotted(per_row(logps, batch))


def _by_token(
    batch: Batch, models: Mapping[str, Encoder | None], wanted: Set[str]
) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]:
    """Return, by name, quantities of response tokens `[R]`, log-probabilities of prompts `[B, K]`, features `[R, ...]`.

    `models` has the prefix of their signals as keys, references first, so that a reference leaves nothing in memory
    beside the policy's graph but what the policy is compared with.
    """
    values: dict[str, Tensor] = {}
    prompts: dict[str, Tensor] = {}
    features: dict[str, Tensor] = {}
    reference: tuple[Tensor, Head] | None = None
    targets = batch.tokens[batch.is_response]
    names = quantities(wanted, compares=models["ref_"] is not None)
    together = any(QUANTITIES[name].compares for name in names)
    ref_names: list[str] = []
    for prefix, model in models.items():
        if model is None:
            continue
        own = {name.replace(prefix, "", 1) for name in wanted if prefix in name} if prefix else wanted
        with torch.set_grad_enabled(torch.is_grad_enabled() and not prefix):
            encoded = model.encode(batch, prompts="prompt_logps" in own, features=FEATURES & own)
            if prefix == "ref_" and together:  # from the logits that the policy's are compared with
                reference, ref_names = (encoded.hidden, model.head), quantities(own, compares=False)
                scores = {}
            elif prefix:
                scores = token_scores(
                    encoded.hidden, targets, model.head, names=quantities(own, compares=False)
                )
            else:
                scores = token_scores(
                    encoded.hidden, targets, model.head, names=names, reference=reference, ref_names=ref_names
                )
            if encoded.prompt_hidden is not None:
                prompts[f"{prefix}prompt_logps"] = _prompt_logps(batch, encoded.prompt_hidden, model.head)
        values |= {prefix + name: value for name, value in scores.items()}
        own_features = {**encoded.features, "hidden": encoded.hidden}
        features |= {prefix + name: value for name, value in own_features.items()}
    return values, prompts, features


def relative_entropy(
    entropy: Float[Tensor, "B K"], lengths: Float[Tensor, "B K"], vocabulary: int
) -> Float[Tensor, "B K"]:
    """Return a response's mean over tokens of entropy / ln(vocabulary), from its summed entropy in nats."""
    return entropy / lengths.clamp(min=1) / math.log(vocabulary)


def per_row(values: Float[Tensor, "R"], batch: Batch) -> Float[Tensor, "N"]:
    """Return the sum of token values over each row."""
    return torch.segment_reduce(values, "sum", lengths=batch.row_lengths)


def prompt_targets(batch: Batch) -> Int[Tensor, "Q"]:
    """Return the places of the prompt tokens that have a token before them."""
    return torch.nonzero(~batch.is_response & (batch.positions > 0)).squeeze(1)


def _prompt_logps(batch: Batch, hidden: Float[Tensor, "Q D"], head: Head) -> Float[Tensor, "B K"]:
    """Return the log-probability of the prompt that each response continues, in nats."""
    places = prompt_targets(batch)
    logps = token_scores(hidden, batch.tokens[places], head)["logps"]
    sums = logps.new_zeros(int(batch.prompt.max()) + 1).index_add(0, batch.prompt[places], logps)
    starts_N = batch.row_lengths.cumsum(0) - batch.row_lengths
    return batch.slotted(sums[batch.prompt[batch.is_response][starts_N]])
