"""Modifiers: functions that change any loss of pairs, or of lists, from outside, by its inputs or its values."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from jaxtyping import Float
from torch import Tensor

from alignlab.derived import Signals
from alignlab.errors import ConfigError
from alignlab.objective.numeric import PerPair
from alignlab.objective.returned import Returned
from alignlab.objective.term import Term
from alignlab.signals import VOCABULARY
from alignlab.types import Reported


class Loss:
    """A loss at given signals, as a modifier sees it: it is called, with changes where wanted."""

    def __init__(self, term: Term, signals: Signals, modifiers: Sequence[Term], **hyper: Any) -> None:
        self._term, self.signals, self._modifiers, self._hyper = term, signals, modifiers, hyper
        self.reports: dict[str, Reported] = {}
        """What the loss has reported so far, of its pairs in their order."""

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
        returned = modified(self._term, signals, self._modifiers, **hyper)
        self.reports |= returned.reports
        return self._values(returned)

    def counted(self, **replaced: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the values of a loss of lists and what each counts (None: one), with these signals replaced.

        Raises ConfigError where the loss does not take one of them.
        """
        for name in replaced:
            if name not in self._term.contract.signals:
                raise ConfigError(f"loss '{self._term.name}' takes no {name} ({VOCABULARY[name].text})")
        returned = modified(self._term, self.signals.replaced(**replaced), self._modifiers, **self._hyper)
        self.reports |= returned.reports
        return returned.values, returned.counts

    def takes(self, signal: str) -> bool:
        """Whether the loss asks for a signal."""
        return signal in self._term.contract.signals

    def swapped(self) -> Float[Tensor, "P"]:
        """Return the loss's values `[P]` with chosen and rejected exchanged."""
        return self._values(modified(self._term, self.signals.swapped(), self._modifiers, **self._hyper))

    def _values(self, returned: Returned) -> Float[Tensor, "P"]:
        if returned.counts is not None:
            raise ConfigError(
                f"loss '{self._term.name}' counts its values itself, and a modifier changes values of pairs that "
                "count one each: drop the modifier, or let the loss return its values alone"
            )
        return returned.values

    def _require_beta(self) -> None:
        if not self._term.is_function or "beta" not in self._term.contract.hyper:
            raise ConfigError(f"loss '{self._term.name}' has no beta that could differ from pair to pair")


def modified(term: Term, signals: Signals, modifiers: Sequence[Term], **hyper: Any) -> Returned:
    """Return what a loss comes to under these modifiers, the last of which is the outermost."""
    if not modifiers:
        return term(signals, **hyper)
    *inner, outer = modifiers
    loss = Loss(term, signals, inner, **hyper)
    returned = outer.called(loss, *(signals[name] for name in outer.contract.signals))
    return replace(returned, reports={**loss.reports, **returned.reports})
