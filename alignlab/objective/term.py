"""A term: a loss, regularizer or modifier with its hyper-parameters bound, and its weight."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, get_args

import torch
from torch import Tensor, nn

from alignlab.derived import Signals
from alignlab.errors import ConfigError, nearest
from alignlab.objective.gathered import Gathered
from alignlab.objective.returned import Returned, take_apart
from alignlab.objective.schedule import Weight, read_weight
from alignlab.objective.settings import TermKind
from alignlab.own_code import named
from alignlab.settings import typed
from alignlab.signals import GATHERED, VOCABULARY, Contract, contract
from alignlab.signatures import misfit_of
from alignlab.types import Part

KINDS = get_args(TermKind)
ONE = Weight(1.0, 1.0)


@dataclass(frozen=True)
class Term:
    """A function of named signals, ready to be called.

    It returns values `[P]`, `[B]` or `[B, K]`, reduced by their (weighted) mean; or a tuple
    (values, counts), reduced by `sum(values) / sum(counts)`, as a token mean is. Counts must come
    from the data alone (labels, lengths), never from scores: they are needed before the forward.
    Either may come as (that, reports), with a dict of numbers to be watched (`types.Reports`).
    """

    name: str
    function: Callable[..., Any]
    contract: Contract
    weight: Weight = ONE
    kind: str = "additive"
    contribution: Contract | None = None
    """The signals that the term contributes to the statistics of the whole step (`gathered.py`), if any."""
    path: str = ""
    """Where the term stands in the config, for messages; empty for one that was made by hand."""

    @property
    def hyper(self) -> dict[str, Any]:
        """Every hyper-parameter with its value: the signature's defaults, and the values set instead."""
        return {**self.contract.hyper, **getattr(self.function, "keywords", {})}

    @property
    def module(self) -> nn.Module | None:
        """The function as a module, where it has parameters or state; None otherwise."""
        return self.function if isinstance(self.function, nn.Module) else None

    @property
    def is_function(self) -> bool:
        """Whether a call may set hyper-parameters anew."""
        return isinstance(self.function, partial)

    def __call__(self, signals: Signals, **hyper: Any) -> Returned:
        """Return what the function returns for these signals; `hyper` overrides hyper-parameters."""
        return self.called(*self._arguments(self.contract, signals), **hyper)

    def called(self, *arguments: Any, **hyper: Any) -> Returned:
        """Return what the function returns for these arguments.

        Raises OwnCodeError for an exception of the function, and ConfigError where it returns no tensors.
        """
        return take_apart(self._run(*arguments, **hyper), self.name, self.path or self.name)

    def measured(self, signals: Signals) -> Returned | Part:
        """Return what the function returns as a metric, which may give a `Part` of its own."""
        returned = self._run(*self._arguments(self.contract, signals))
        return (
            returned
            if isinstance(returned, Part)
            else take_apart(returned, self.name, self.path or self.name)
        )

    def _run(self, *arguments: Any, **hyper: Any) -> object:
        with named(self.path or self.name, self.function, (torch.OutOfMemoryError,)):
            return self.function(*arguments, **hyper)

    def contribute(self, signals: Signals, weights: Tensor) -> Gathered:
        """Return the rows that this micro-batch contributes to the statistics of the whole step, with weights."""
        assert self.contribution is not None
        with named(self.path or self.name, self.function, (torch.OutOfMemoryError,)):
            rows: Tensor = getattr(self.function, "contribute")(  # noqa: B009
                *self._arguments(self.contribution, signals)
            )
        by_response = not self.contribution.is_pairwise and any(
            VOCABULARY[name].shape.startswith("B K") for name in self.contribution.signals
        )
        leading = rows.shape[: 2 if by_response else 1]
        counted = self.row_weights(rows.new_zeros(leading), signals, weights)
        return Gathered(rows.reshape(leading.numel(), *rows.shape[len(leading) :]), counted.reshape(-1))

    def row_weights(self, values: Tensor, signals: Signals, weights: Tensor) -> Tensor:
        """Return the weight of each value: that of its list, or 0 where there is no response."""
        where = signals["where"]
        shapes = {VOCABULARY[name].shape for name in self.contract.signals}
        if shapes == {""}:
            return torch.ones_like(values)
        if self.contract.is_pairwise:
            return weights[signals.pairs.list]
        if values.dim() == 1:
            return weights * where.any(dim=1)
        return weights[:, None].expand_as(values) if shapes == {"B M"} else weights[:, None] * where

    def _arguments(self, wanted: Contract, signals: Signals) -> list[Tensor]:
        """Return one tensor a signal; a pairwise term gets one value a pair where a signal has one a list."""
        tensors = [signals[name] for name in wanted.signals]
        if not self.contract.is_pairwise:
            return tensors
        per_list = [VOCABULARY[name].shape == "B" for name in wanted.signals]
        return [v[signals.pairs.list] if once else v for v, once in zip(tensors, per_list, strict=True)]


def make_term(
    name: str,
    target: Callable[..., Any],
    hyper: Mapping[str, Any],
    *,
    weight: Any = 1.0,
    kind: str = "additive",
    path: str = "",
) -> Term:
    """Bind hyper-parameters to a target and read its contract.

    A target without positional parameters is a maker (a factory, or an `nn.Module` class): it is
    called with the hyper-parameters, and the contract is that of what it returns.

    `weight` is a number or a schedule (`schedule.py`).

    Raises ConfigError on unknown hyper-parameters, values out of their range, unknown signals, and an unknown `kind`.
    """
    where = path or name
    if kind not in KINDS:
        raise ConfigError(f"{where}.kind={kind}: {nearest(kind, KINDS)}")
    scale = read_weight(weight, f"{where}.weight")
    accepted, parameters = contract(target, where), inspect.signature(target).parameters
    for key, value in hyper.items():
        if key not in accepted.hyper:
            raise ConfigError(f"{where} has no hyper-parameter '{key}': {nearest(key, accepted.hyper)}")
        if message := misfit_of(value, parameters[key]):
            raise ConfigError(f"{where}.{key}={typed(value)}: {message}")
    missing = [
        k for k, default in accepted.hyper.items() if default is inspect.Parameter.empty and k not in hyper
    ]
    if missing:
        raise ConfigError(f"{where} needs a value for {', '.join(missing)}: set {where}.{missing[0]}=...")
    if accepted.signals or accepted.extra:
        return Term(name, partial(target, **hyper), accepted, scale, kind, path=path)
    function = target(**hyper)
    read = contract(getattr(function, "forward", function), where)
    contribution = contract(function.contribute, f"{where}.contribute") if GATHERED in read.extra else None
    bound = Contract(read.signals, {**accepted.hyper, **hyper}, read.extra)
    return Term(name, function, bound, scale, kind, contribution, path)
