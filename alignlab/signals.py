"""The closed vocabulary of named tensors that an objective may ask for.

A loss names the signals it wants as positional parameters; the caller gives base signals, and
everything else is derived (`derived.py`), lazily, so nothing is computed that nobody asked for. Any signal
whose shape starts with [B, K] has a `chosen_<x>` and a `rejected_<x>`, `[P, ...]`, over the selected
pairs.
"""

import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from alignlab.errors import ConfigError, nearest

DATA, TRAINING = "data", "training"
POLICY, REFERENCE, OTHERS = "policy", "reference", "other references"
SAMPLER, CLASSIFIER = "sampler", "classifier of prompts"


@dataclass(frozen=True)
class Signal:
    """One word of the vocabulary, with all that the program needs to know of it."""

    text: str
    shape: str = "B K"
    """In the legend of `types.py`; L tokens and S steps of a response, M samples, a model's width D and layers N, and
    R references beside the first, C classes and H heads."""
    providers: frozenset[str] = frozenset({DATA})
    """All that must be there for it: the data, the forward of a model, the sampler that drew the responses, ..."""
    parents: tuple[str, ...] = ()
    """Base signals that it is computed from; a base signal has none."""
    own: str = ""
    """What a reference computes of itself in the one pass over the data that keeps this signal; empty: none can."""
    rows: str = ""
    """What the batch must hold beside the responses: rows (`mismatched`, `rationale`, `sample`), or the `steps` of
    responses."""
    neutral: float = 0.0
    """Its value for a response that stands out in nothing; by token, where it is `additive`."""
    additive: bool = False
    """Whether it is a sum over tokens."""
    moves: bool = False
    """Whether it rises by one as the policy's score of the response (log-probability or value) does."""


def _by(*providers: str) -> frozenset[str]:
    return frozenset(providers)


NATS = -1.0
"""Log-probability of a neutral token."""
BASE = {
    # one value a response
    "logps": Signal(
        "log-probability of a response under the policy, nats, sum over its tokens",
        providers=_by(POLICY),
        neutral=NATS,
        additive=True,
        moves=True,
    ),
    "ref_logps": Signal(
        "log-probability of a response under the reference, nats, sum over its tokens",
        providers=_by(REFERENCE),
        own="logps",
        neutral=NATS,
        additive=True,
    ),
    "other_ref_logps": Signal(
        "log-probability of a response under each further reference, nats, sum over its tokens",
        "B K R",
        _by(OTHERS),
        own="logps",
        neutral=NATS,
        additive=True,
    ),
    "decoupled_logps": Signal(
        "log-probability of a response under the policy's logits moved away from the reference's, (1 + lambda) policy "
        "- lambda reference, nats, sum over its tokens, without gradient; lambda is `Policy.decoupling`",
        providers=_by(POLICY, REFERENCE),
        neutral=NATS,
        additive=True,
    ),
    "values": Signal("score of a response by the policy's scalar head", providers=_by(POLICY), moves=True),
    "lengths": Signal("response tokens, end of sequence included", neutral=1.0, additive=True),
    "labels": Signal("larger is better; rated sources scale them to [0, 1]"),
    "rewards": Signal("raw scores of the source"),
    "desirable_probs": Signal(
        "probability that the prompt comes from the desirable data (BCO's classifier)",
        providers=_by(CLASSIFIER),
        neutral=0.5,
    ),
    "kl_reverse": Signal(
        "KL(policy || reference), full vocabulary, nats, sum over the response",
        providers=_by(POLICY, REFERENCE),
    ),
    "kl_forward": Signal(
        "KL(reference || policy), full vocabulary, nats, sum over the response",
        providers=_by(POLICY, REFERENCE),
    ),
    "entropy": Signal(
        "entropy of the policy, full vocabulary, nats, sum over the response", providers=_by(POLICY)
    ),
    "log_collisions": Signal(
        "ln sum_v policy(v)^2, sum over the response", providers=_by(POLICY), neutral=NATS, additive=True
    ),
    "uniform_logps": Signal(
        "mean over the vocabulary of log policy(v), sum over the response", providers=_by(POLICY)
    ),
    "ref_entropy": Signal(
        "token entropy of the reference / ln(vocabulary), mean over the response",
        providers=_by(REFERENCE),
        own="entropy",
        neutral=math.exp(-1 / 0.29),
    ),
    "prompt_logps": Signal(
        "log-probability of the response's prompt under the policy, nats", providers=_by(POLICY)
    ),
    "ref_prompt_logps": Signal(
        "log-probability of the response's prompt under the reference, nats",
        providers=_by(REFERENCE),
        own="prompt_logps",
    ),
    "behavior_logps": Signal(
        "log-probability of a response under the distribution that it was drawn from, nats, sum over its tokens",
        providers=_by(SAMPLER),
        neutral=NATS,
        additive=True,
    ),
    "finished": Signal(
        "1 where a drawn response came to its end, 0 where it was cut", providers=_by(SAMPLER), neutral=1.0
    ),
    "from_reference": Signal(
        "1 where a response was drawn from the reference, 0 where from the policy", providers=_by(SAMPLER)
    ),
    "embeddings": Signal(
        "final hidden state of the policy at the last token of a response", "B K D", _by(POLICY)
    ),
    "value_slopes": Signal(
        "gradient of a response's value with respect to the hidden state that it is read from",
        "B K D",
        _by(POLICY),
    ),
    # one value an attribute
    "ratings": Signal("rating of a response by attribute; NaN where it is not known", "B K A"),
    "attribute_values": Signal(
        "rating of a response by attribute, by the policy's heads", "B K A", _by(POLICY), moves=True
    ),
    # one value a class, and one a head
    "class_logits": Signal("logit of each class for a response", "B K C", _by(POLICY)),
    "preference_values": Signal(
        "score of a response within its class, by each of the policy's heads of preferences",
        "B K H",
        _by(POLICY),
    ),
    # one value a token
    "token_logps": Signal(
        "log-probability of each response token under the policy",
        "B K L",
        _by(POLICY),
        neutral=NATS,
        additive=True,
        moves=True,
    ),
    "token_ref_logps": Signal(
        "log-probability of each response token under the reference",
        "B K L",
        _by(REFERENCE),
        neutral=NATS,
        additive=True,
    ),
    "token_kl_forward": Signal(
        "KL(reference || policy) at each response token", "B K L", _by(POLICY, REFERENCE)
    ),
    "token_kl_reverse": Signal(
        "KL(policy || reference) at each response token", "B K L", _by(POLICY, REFERENCE)
    ),
    "token_jsd": Signal(
        "Jensen-Shannon divergence of policy and reference at each response token",
        "B K L",
        _by(POLICY, REFERENCE),
    ),
    "token_values": Signal(
        "value of the state at each response token by the policy's value head", "B K L", _by(POLICY)
    ),
    "token_behavior_logps": Signal(
        "log-probability of each response token under the distribution that it was drawn from",
        "B K L",
        _by(SAMPLER),
        neutral=NATS,
        additive=True,
    ),
    "token_old_logps": Signal(
        "log-probability of each response token under the policy as it was when the response was drawn",
        "B K L",
        _by(SAMPLER),
        neutral=NATS,
        additive=True,
    ),
    "token_behavior_values": Signal(
        "value of the state at each response token by the policy's value head as it was when the response was drawn",
        "B K L",
        _by(SAMPLER),
    ),
    # features, where each response token is predicted
    "hidden": Signal("final hidden states of the policy", "B K L D", _by(POLICY)),
    "ref_layers": Signal("hidden states of the reference after every layer", "B K L N D", _by(REFERENCE)),
    "ref_activations": Signal(
        "mean activation of the reference's blocks, kinds first", "B K L 3 N", _by(REFERENCE)
    ),
    "ref_points": Signal(
        "mean activation of the reference in each layer, by point: the MLP's hidden layer; queries and keys before and "
        "after their rotation, values, and what attention hands to its output layer; the residual stream before and "
        "after both norms, what both blocks add to it, and what is left",
        "B K L 14 N",
        _by(REFERENCE),
    ),
    "ref_ends": Signal(
        "mean activation of the reference's embeddings and of its final norm", "B K L 2", _by(REFERENCE)
    ),
    "token_ref_mean_logits": Signal(
        "mean logit over the vocabulary under the reference, where each response token is predicted",
        "B K L",
        _by(REFERENCE),
    ),
    # one value a pair of responses
    "wins": Signal(
        "1 where the first response was preferred to the second, 0 where the second was, 1/2 for neither",
        "B K K",
        neutral=0.5,
    ),
    "preferences": Signal(
        "score by which the policy prefers the first response to the second; antisymmetric",
        "B K K",
        _by(POLICY),
    ),
    # one value a step of a response
    "step_logratios": Signal(
        "log-ratio of policy to reference, sum over the tokens of a step",
        "B K S",
        _by(POLICY, REFERENCE),
        rows="steps",
        additive=True,
        moves=True,
    ),
    "step_lengths": Signal(
        "tokens of a step; 0 where a response has fewer steps",
        "B K S",
        rows="steps",
        neutral=1.0,
        additive=True,
    ),
    "step_cosines": Signal(
        "cosine of the mean hidden states of a step, between responses", "B K K S", _by(POLICY), rows="steps"
    ),
    # fresh samples of the policy, M of a prompt
    "sample_logps": Signal(
        "log-probability of the policy's own samples under the policy",
        "B M",
        _by(POLICY, SAMPLER),
        rows="sample",
    ),
    "sample_ref_logps": Signal(
        "log-probability of the policy's own samples under the reference",
        "B M",
        _by(REFERENCE, SAMPLER),
        rows="sample",
    ),
    # one value a list
    "rationale_logps": Signal(
        "log-probability of the rationale of the preference", "B", _by(POLICY), rows="rationale"
    ),
    "mismatched_logps": Signal(
        "log-probability of another list's response, given this prompt, under the policy",
        "B",
        _by(POLICY),
        rows="mismatched",
    ),
    "mismatched_ref_logps": Signal(
        "log-probability of another list's response, given this prompt, under the reference",
        "B",
        _by(REFERENCE),
        rows="mismatched",
    ),
    "tasks": Signal("number of the task that a list belongs to, from 0", "B"),
    # one value a run
    "parameter_distance": Signal(
        "half the squared distance of the parameters from their start", "", _by(TRAINING)
    ),
}
DERIVED = {
    "logratios": Signal("logps - ref_logps", parents=("logps", "ref_logps")),
    "token_logratios": Signal(
        "token_logps - token_ref_logps", "B K L", parents=("token_logps", "token_ref_logps")
    ),
    "token_where": Signal("True on the tokens of a response", "B K L", parents=("lengths",)),
    "token_weights": Signal(
        "weight of each response token in losses that take it: 1, unless a modifier has another",
        "B K L",
        parents=("lengths",),
    ),
    "desirable": Signal(
        "1 where the label is above the middle of its list (of a lone response, above 0.5), else 0",
        parents=("labels",),
    ),
    "degrees": Signal("how many distinct labels of the list are better, 0 for the best", parents=("labels",)),
}
LIST_SIGNALS = {k: s for k, s in (BASE | DERIVED).items() if s.shape.startswith("B K")}
OTHER_SIGNALS = {k: s for k, s in BASE.items() if k not in LIST_SIGNALS}
SIDES = ("chosen", "rejected")
PAIR_SIGNALS = {
    **{
        f"{side}_{name}": Signal(f"{s.text}; the {side} side", s.shape.replace("B K", "P", 1))
        for name, s in LIST_SIGNALS.items()
        for side in SIDES
    },
    "strength": Signal("label of chosen minus label of rejected", "P", parents=("labels",)),
    "pair_wins": Signal(
        "probability that chosen is better than rejected, as who judged them has it", "P", parents=("wins",)
    ),
}
MASK = {"where": Signal("True where a list has a response")}
VOCABULARY: dict[str, Signal] = {**LIST_SIGNALS, **OTHER_SIGNALS, **MASK, **PAIR_SIGNALS}

GATHERED = "gathered"
"""The parameter by which a loss receives what all micro-batches and ranks contributed (`objective/gathered.py`)."""
PROGRESS = "progress"
"""The parameter by which a loss receives the share of the run that is done, from 0 to 1."""
LOSS = "loss"
"""The parameter by which a modifier receives the loss it modifies (`objective/modified.py`)."""


def list_name(signal: str) -> str:
    """The list signal behind a pair signal; a list signal is its own."""
    side, _, rest = signal.partition("_")
    return rest if side in SIDES else signal


def base_names(signal: str) -> set[str]:
    """The base signals that a signal is computed from; `where` is always there."""
    name = list_name(signal)
    word = VOCABULARY[name]
    return set(word.parents) or ({name} - {"where"})


def provided_by(names: Iterable[str], *providers: str) -> set[str]:
    """Return the base signals that need any of these providers."""
    return {name for name in names if BASE[name].providers & set(providers)}


def is_known_before(name: str) -> bool:
    """Whether a base signal is known of the data, or of what its sampler told, before any forward."""
    return BASE[name].providers <= {DATA, SAMPLER}


DRAWN = frozenset(name for name, signal in BASE.items() if signal.providers == {SAMPLER})
"""What a sampler tells of the responses that it drew, and rows carry (`types.Example`)."""
FRESH = frozenset(name for name, signal in BASE.items() if signal.rows == "sample")
"""Scores of samples that the policy draws while it trains, which ride beside the lists."""
IN_EVERY_BATCH = frozenset(name for name in BASE if is_known_before(name) and not BASE[name].rows)
"""What no policy has to give; of these, only rows of drawn responses carry `DRAWN`."""


def trailing_sizes(sizes: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
    """The dimensions after `[B, K, L]`, or `[B, K]`, of every feature signal, from the `sizes` of a model by letter."""
    shapes = {name: signal.shape.removeprefix("B K").split() for name, signal in BASE.items()}
    features = {name: shape[1:] for name, shape in shapes.items() if shape[:1] == ["L"] and len(shape) > 1}
    features |= {name: shape for name, shape in shapes.items() if shape == ["D"]}
    return {
        name: tuple(int(x) if x.isdigit() else sizes[x] for x in shape) for name, shape in features.items()
    }


@dataclass(frozen=True)
class Contract:
    """What a loss function says of itself by its signature."""

    signals: tuple[str, ...]
    hyper: Mapping[str, Any]
    """Hyper-parameters with their defaults; `inspect.Parameter.empty` where there is none."""
    extra: tuple[str, ...] = ()
    """Of `gathered`, `progress` and `loss`, those it takes too."""

    @property
    def is_pairwise(self) -> bool:
        """Whether it asks for any pair signal."""
        return any(signal in PAIR_SIGNALS for signal in self.signals)


def contract(function: Callable[..., Any], name: str) -> Contract:
    """Read a signature: positional parameters are signals, keyword-only ones hyper-parameters.

    Raises ConfigError on a signal outside the vocabulary, naming the nearest.
    """
    signals, hyper, extra = [], {}, []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name in (GATHERED, PROGRESS, LOSS):
            extra.append(parameter.name)
        elif parameter.kind is parameter.KEYWORD_ONLY:
            hyper[parameter.name] = parameter.default
        elif parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            signals.append(parameter.name)
    for signal in signals:
        if signal not in VOCABULARY:
            raise ConfigError(f"{name} asks for signal '{signal}': {nearest(signal, VOCABULARY)}")
    return Contract(tuple(signals), hyper, tuple(extra))
