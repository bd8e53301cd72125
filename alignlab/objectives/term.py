"""A term: a loss or regularizer function with its hyper-parameters bound and its weight."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor

from alignlab.errors import ConfigError, nearest
from alignlab.signals import Contract, Signals, contract
from alignlab.types import Part

KINDS = ("additive", "offset")


@dataclass(frozen=True)
class Term:
    """A function of named signals, ready to be called.

    It returns values `[P]`, `[B]` or `[B, K]`, reduced by their (weighted) mean; or a tuple
    (values, counts), reduced by `sum(values) / sum(counts)`, as a token mean is. Counts must come
    from the data alone (labels, lengths), never from scores: they are needed before the forward.
    """

    name: str
    function: Callable[..., Any]
    contract: Contract
    weight: float = 1.0
    kind: str = "additive"

    def __call__(self, signals: Signals) -> Any:
        """What the function returns for these signals."""
        return self.function(*(signals[name] for name in self.contract.signals))

    def part(self, signals: Signals, weights: Tensor) -> tuple[Part, Tensor]:
        """The reduced share of the loss, and the unreduced values behind it."""
        returned = self(signals)
        values, counts = returned if isinstance(returned, tuple) else (returned, None)
        row_weights = self._row_weights(values, signals, weights)
        count = row_weights if counts is None else row_weights * counts
        return Part((row_weights * values).sum(), count.sum().detach(), self.weight), values

    def _row_weights(self, values: Tensor, signals: Signals, weights: Tensor) -> Tensor:
        """How much each value counts: the weight of its list, 0 where there is no response."""
        where = signals["where"]
        if values.dim() == 2:
            return weights[:, None] * where
        if self.contract.is_pairwise:
            return weights[signals.pairs.list]
        return weights * where.any(dim=1)


def check_type(path: str, value: Any, default: Any) -> None:
    """ConfigError where a value is no number (or no truth value) and its default is one."""
    if isinstance(default, bool):
        fits = isinstance(value, bool)
    elif isinstance(default, (int, float)):
        fits = isinstance(value, (int, float)) and not isinstance(value, bool)
    else:
        return
    if not fits:
        wanted = "true or false" if isinstance(default, bool) else "a number"
        raise ConfigError(f"{path}={value}: expected {wanted}")


def make_term(
    name: str,
    target: Callable[..., Any],
    hyper: Mapping[str, Any],
    *,
    weight: float = 1.0,
    kind: str = "additive",
    path: str = "",
) -> Term:
    """Bind hyper-parameters to a target and read its contract.

    A target without positional parameters is a maker (a factory, or an `nn.Module` class): it is
    called with the hyper-parameters, and the contract is that of what it returns.

    Raises ConfigError on unknown hyper-parameters, unknown signals, and an unknown `kind`.
    """
    where = path or name
    if kind not in KINDS:
        raise ConfigError(f"{where}.kind={kind}: {nearest(kind, KINDS)}")
    accepted = contract(target, where)
    for key in hyper:
        if key not in accepted.hyper:
            raise ConfigError(f"{where} has no hyper-parameter '{key}': {nearest(key, accepted.hyper)}")
        check_type(f"{where}.{key}", hyper[key], accepted.hyper[key])
    missing = [
        k for k, default in accepted.hyper.items() if default is inspect.Parameter.empty and k not in hyper
    ]
    if missing:
        raise ConfigError(f"{where} needs a value for {', '.join(missing)}: set {where}.{missing[0]}=...")
    if accepted.signals:
        return Term(name, partial(target, **hyper), accepted, weight, kind)
    made = target(**hyper)
    return Term(name, made, contract(getattr(made, "forward", made), where), weight, kind)
