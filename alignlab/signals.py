"""The closed vocabulary of named tensors that an objective may ask for.

A loss names the signals it wants as positional parameters; the caller gives base signals, and
everything else is derived here, lazily, so nothing is computed that nobody asked for.

    list signals   [B, K]  one value a response of a list
    pair signals   [P]     `chosen_<x>` and `rejected_<x>` of a list signal, over the selected pairs
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from jaxtyping import Bool, Float, Int
from torch import Tensor

from alignlab.errors import ConfigError, nearest

LIST_SIGNALS = {
    "logps": "log-probability of a response under the policy, nats, sum over its tokens",
    "ref_logps": "the same under the reference",
    "logratios": "logps - ref_logps",
    "lengths": "response tokens, end of sequence included",
    "labels": "larger is better; rated sources scale them to [0, 1]",
    "rewards": "raw scores of the source",
    "kl_reverse": "KL(policy || reference), full vocabulary, nats, sum over the response",
    "kl_forward": "KL(reference || policy), likewise",
}
SIDES = ("chosen", "rejected")
PAIR_SIGNALS = {
    **{f"{side}_{name}": f"{text}; the {side} side" for name, text in LIST_SIGNALS.items() for side in SIDES},
    "strength": "label of chosen minus label of rejected",
}
MASK = {"where": "[B, K] bool: True where a list has a response"}
VOCABULARY = {**LIST_SIGNALS, **MASK, **PAIR_SIGNALS}
DERIVED = {"logratios"} | set(PAIR_SIGNALS)

REFERENCE_SIGNALS = {"ref_logps", "logratios", "kl_reverse", "kl_forward"}
DIVERGENCES = {"kl_reverse", "kl_forward"}
POLICY_SIGNALS = {"logps", "kl_reverse", "kl_forward"}


def list_name(signal: str) -> str:
    """The list signal behind a pair signal; a list signal is its own."""
    side, _, rest = signal.partition("_")
    return rest if side in SIDES else signal


@dataclass(frozen=True)
class Contract:
    """What a loss function says of itself by its signature."""

    signals: tuple[str, ...]
    hyper: Mapping[str, Any]
    """Hyper-parameters with their defaults; `inspect.Parameter.empty` where there is none."""

    @property
    def is_pairwise(self) -> bool:
        """Whether it asks for any pair signal."""
        return any(signal in PAIR_SIGNALS for signal in self.signals)


def contract(function: Callable[..., Any], name: str) -> Contract:
    """Read a signature: positional parameters are signals, keyword-only ones hyper-parameters.

    Raises ConfigError on a signal outside the vocabulary, naming the nearest.
    """
    signals, hyper = [], {}
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY:
            hyper[parameter.name] = parameter.default
        elif parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            signals.append(parameter.name)
    for signal in signals:
        if signal not in VOCABULARY:
            raise ConfigError(f"{name} asks for signal '{signal}': {nearest(signal, VOCABULARY)}")
    return Contract(tuple(signals), hyper)


@dataclass(frozen=True)
class Pairs:
    """Which better/worse pairs of which lists a pairwise loss sees."""

    list: Int[Tensor, "P"]
    chosen: Int[Tensor, "P"]
    rejected: Int[Tensor, "P"]

    def take(self, values_BK: Tensor, side: str) -> Tensor:
        """Values of one side: `[B, K] -> [P]`."""
        return values_BK[self.list, self.chosen if side == "chosen" else self.rejected]


class Signals:
    """Base signals of a batch, and whatever can be derived from them on demand.

    Slots outside `where` are set to 0 before anything reads them, so that what they hold (NaN
    included) reaches neither a value nor a gradient.
    """

    def __init__(
        self, base: Mapping[str, Tensor], where: Bool[Tensor, "B K"], select: Callable[[], Pairs]
    ) -> None:
        self._known: dict[str, Tensor] = {"where": where}
        self._known |= {name: value.masked_fill(~where, 0) for name, value in base.items()}
        self._select = select
        self._pairs: Pairs | None = None

    @property
    def pairs(self) -> Pairs:
        """The selected pairs, chosen when first asked for."""
        if self._pairs is None:
            self._pairs = self._select()
        return self._pairs

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._known:
            self._known[name] = self._derive(name)
        return self._known[name]

    def _derive(self, name: str) -> Tensor:
        if name == "logratios":
            return self["logps"] - self["ref_logps"]
        if name == "strength":
            return self["chosen_labels"] - self["rejected_labels"]
        side, _, rest = name.partition("_")
        if side in SIDES:
            return self.pairs.take(self[rest], side)
        raise ConfigError(
            f"signal '{name}' ({VOCABULARY[name]}) is needed and was not given; pass {name}=[B, K]"
        )

    def shifted(self, offset: Float[Tensor, "B K"] | float) -> "Signals":
        """The same signals with `offset` nats added to every response's log-probability."""
        where = self["where"]
        base = {k: v for k, v in self._known.items() if k not in DERIVED and k != "where"}
        base["logps"] = self["logps"] + offset
        return Signals(base, where, lambda: self.pairs)
