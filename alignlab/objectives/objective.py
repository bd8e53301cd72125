"""An objective: one loss, any regularizers, and which pairs of a list the loss sees."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from alignlab.errors import ConfigError, nearest
from alignlab.objectives.pairs import select
from alignlab.objectives.term import Term
from alignlab.signals import (
    DERIVED,
    DIVERGENCES,
    LIST_SIGNALS,
    POLICY_SIGNALS,
    REFERENCE_SIGNALS,
    Signals,
    list_name,
)
from alignlab.types import Outcome, Part

REDUCTIONS = ("mean", "sum")


@dataclass(frozen=True)
class Objective:
    """A loss plus regularizers, callable on base signals; knows no framework.

    `pairs` chooses the pairs of a list: best_worst, best_rest, adjacent or all. `reduction` is the
    mean over pairs (or lists) of the global batch, or their sum.
    """

    name: str
    loss: Term
    regularizers: Sequence[Term] = ()
    pairs: str = "best_worst"
    reduction: str = "mean"

    def __post_init__(self) -> None:
        select(self.pairs)
        if self.reduction not in REDUCTIONS:
            raise ConfigError(f"objective.reduction={self.reduction}: {nearest(self.reduction, REDUCTIONS)}")
        names = [self.name, *(term.name for term in self.regularizers)]
        for name in names:
            if names.count(name) > 1:
                raise ConfigError(f"objective '{self.name}' has two parts named '{name}': rename one of them")

    @property
    def terms(self) -> tuple[Term, ...]:
        """The loss and its regularizers."""
        return (self.loss, *self.regularizers)

    @property
    def signals(self) -> frozenset[str]:
        """Base signals that must be given."""
        wanted = {list_name(signal) for term in self.terms for signal in term.contract.signals}
        if "logratios" in wanted:
            wanted |= {"logps", "ref_logps"}
        if any(term.kind == "offset" for term in self.regularizers):
            wanted.add("logps")
        if any(term.contract.is_pairwise for term in self.terms):
            wanted.add("labels")
        return frozenset(wanted - DERIVED - {"where"})

    @property
    def needs_reference(self) -> bool:
        """Whether any term asks for the reference."""
        return bool(self.signals & REFERENCE_SIGNALS)

    @property
    def divergences(self) -> frozenset[str]:
        """Full-vocabulary divergences wanted: these need the reference's own logits."""
        return self.signals & DIVERGENCES

    @property
    def is_pairwise(self) -> bool:
        """Whether the loss sees pairs; it sees whole lists otherwise."""
        return self.loss.contract.is_pairwise

    @property
    def beta(self) -> float:
        """The scale of the implicit reward, 1 for a loss without `beta`."""
        bound = getattr(self.loss.function, "keywords", {})
        return float(bound.get("beta", self.loss.contract.hyper.get("beta", 1.0)))

    def __call__(
        self,
        *,
        where: Bool[Tensor, "B K"] | None = None,
        weights: Float[Tensor, "B"] | None = None,
        **base: Tensor,
    ) -> Outcome:
        """The loss of a batch from base signals `[B, K]`, given by keyword (see `signals`).

        A list of weight w counts as w lists. Raises ConfigError when a signal that is needed is
        missing, misspelt, or of another shape than the rest.
        """
        signals, weights = self._prepare(base, where, weights)
        offsets = [term.weight * term(signals) for term in self.regularizers if term.kind == "offset"]
        seen = signals.shifted(torch.stack(offsets).sum(dim=0)) if offsets else signals
        parts: dict[str, Part] = {}
        values: dict[str, Tensor] = {}
        parts[self.name], values[self.name] = self.loss.part(seen, weights)
        for term in self.regularizers:
            if term.kind == "additive":
                parts[term.name], values[term.name] = term.part(signals, weights)
        if self.reduction == "sum":
            parts = {k: Part(p.sum, torch.zeros_like(p.count), p.weight) for k, p in parts.items()}
        return Outcome(parts, values)

    def counts(self, **base: Tensor) -> dict[str, Tensor]:
        """How many elements each part of the loss counts, known from the data before any forward.

        A sum is divided by nothing and counts 0.
        """
        known = [value for name, value in base.items() if name in LIST_SIGNALS]
        if not known:
            raise ConfigError(f"counts of objective '{self.name}' need lengths or labels, as [B, K] tensors")
        zeros = torch.zeros_like(known[0])
        blank = dict.fromkeys(self.signals & (POLICY_SIGNALS | REFERENCE_SIGNALS), zeros)
        with torch.no_grad():
            return {name: part.count for name, part in self(**(base | blank)).parts.items()}

    def _prepare(
        self, base: Mapping[str, Tensor], where: Tensor | None, weights: Tensor | None
    ) -> tuple[Signals, Tensor]:
        for name in base:
            if name not in LIST_SIGNALS or name in DERIVED:
                hint = nearest(list_name(name), set(LIST_SIGNALS) - DERIVED)
                raise ConfigError(f"'{name}' is no base signal: {hint}")
        missing = self.signals - set(base)
        if missing:
            raise ConfigError(
                f"objective '{self.name}' needs {', '.join(sorted(missing))}: pass each as a [B, K] tensor"
            )
        given = base if where is None else {**base, "where": where}
        shapes = {name: tuple(value.shape) for name, value in given.items()}
        if len(set(shapes.values())) != 1 or any(value.dim() != 2 for value in given.values()):
            raise ConfigError(f"objective '{self.name}' wants signals of one shape [B, K], got {shapes}")
        like = base["logps"] if "logps" in base else next(iter(base.values()))
        if where is None:
            where = torch.ones_like(like, dtype=torch.bool)
        if weights is None:
            weights = torch.ones(len(like), dtype=like.dtype, device=like.device)
        if weights.shape != (len(like),):
            raise ConfigError(f"weights: one a list, shape ({len(like)},), got {tuple(weights.shape)}")
        where = where.bool()
        choose = select(self.pairs)
        signals = Signals(base, where, lambda: choose(base["labels"].masked_fill(~where, 0), where))
        return signals, weights
