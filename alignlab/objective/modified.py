"""Modifiers: what changes any pairwise loss from the outside, by its inputs or its values."""

from collections.abc import Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor

from alignlab.errors import ConfigError
from alignlab.objective.term import Term
from alignlab.signals import Signals


class Loss:
    """A pairwise loss at some signals, as a modifier sees it: callable, with changes."""

    def __init__(self, term: Term, signals: Signals, modifiers: Sequence[Term], **hyper: Any) -> None:
        self._term, self.signals, self._modifiers, self._hyper = term, signals, modifiers, hyper

    def __call__(self, *, beta: Float[Tensor, "P"] | None = None, **replaced: Tensor) -> Float[Tensor, "P"]:
        """Its values; with another `beta` for each pair, or with other values for some pair signals.

        Raises ConfigError where the loss has no hyper-parameter `beta`.
        """
        signals = self.signals.replaced(**replaced) if replaced else self.signals
        hyper = self._hyper
        if beta is not None:
            if "beta" not in self._term.contract.hyper or not self._term.is_function:
                raise ConfigError(f"loss '{self._term.name}' has no beta that could differ from pair to pair")
            hyper = {**hyper, "beta": beta}
        return modified(self._term, signals, self._modifiers, **hyper)

    def swapped(self) -> Float[Tensor, "P"]:
        """Its values with chosen and rejected exchanged."""
        return modified(self._term, self.signals.swapped(), self._modifiers, **self._hyper)


def modified(term: Term, signals: Signals, modifiers: Sequence[Term], **hyper: Any) -> Any:
    """What the loss returns under these modifiers, the last of which is the outermost."""
    if not modifiers:
        return term(signals, **hyper)
    *inner, outer = modifiers
    loss = Loss(term, signals, inner, **hyper)
    return outer.function(loss, *(signals[name] for name in outer.contract.signals))
