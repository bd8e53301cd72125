"""Modifiers: functions that change any pairwise loss from outside, by its inputs or its values."""

from collections.abc import Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor

from alignlab.errors import ConfigError
from alignlab.objective.numeric import PerPair
from alignlab.objective.term import Term
from alignlab.signals import Signals


class Loss:
    """A pairwise loss at given signals, as a modifier sees it: it is called, with changes where wanted."""

    def __init__(self, term: Term, signals: Signals, modifiers: Sequence[Term], **hyper: Any) -> None:
        self._term, self.signals, self._modifiers, self._hyper = term, signals, modifiers, hyper

    @property
    def beta(self) -> PerPair:
        """The beta that the loss would be called with; ConfigError where it has no hyper-parameter `beta`."""
        self._require_beta()
        beta: PerPair = self._hyper.get("beta", self._term.hyper["beta"])
        return beta

    def __call__(self, *, beta: Float[Tensor, "P"] | None = None, **replaced: Tensor) -> Float[Tensor, "P"]:
        """Return the loss's values `[P]`, with another `beta` for each pair or other pair signals where given.

        Raises ConfigError where the loss has no hyper-parameter `beta`.
        """
        signals = self.signals.replaced(**replaced) if replaced else self.signals
        hyper = self._hyper
        if beta is not None:
            self._require_beta()
            hyper = {**hyper, "beta": beta}
        return modified(self._term, signals, self._modifiers, **hyper)

    def swapped(self) -> Float[Tensor, "P"]:
        """Return the loss's values `[P]` with chosen and rejected exchanged."""
        return modified(self._term, self.signals.swapped(), self._modifiers, **self._hyper)

    def _require_beta(self) -> None:
        if not self._term.is_function or "beta" not in self._term.contract.hyper:
            raise ConfigError(f"loss '{self._term.name}' has no beta that could differ from pair to pair")


def modified(term: Term, signals: Signals, modifiers: Sequence[Term], **hyper: Any) -> Any:
    """Return the values of a loss under these modifiers, the last of which is the outermost."""
    if not modifiers:
        return term(signals, **hyper)
    *inner, outer = modifiers
    loss = Loss(term, signals, inner, **hyper)
    return outer.called(loss, *(signals[name] for name in outer.contract.signals))
