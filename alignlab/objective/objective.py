"""An objective: one loss, its modifiers, any regularizers, and which pairs of a list the loss sees."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from alignlab.derived import Signals
from alignlab.errors import ConfigError, nearest
from alignlab.objective.gathered import Gathered
from alignlab.objective.implicit_reward import ImplicitReward, reward_of
from alignlab.objective.inputs import Sizes, blank, check_given, sizes_of
from alignlab.objective.modified import modified
from alignlab.objective.pair_selection import select
from alignlab.objective.returned import Returned
from alignlab.objective.settings import Form, LabelScale, Reduction
from alignlab.objective.term import Term
from alignlab.signals import (
    BASE,
    GATHERED,
    OTHERS,
    PROGRESS,
    REFERENCE,
    base_names,
    is_known_before,
    provided_by,
)
from alignlab.types import Outcome, Part

REDUCTIONS, FORMS, SCALES = get_args(Reduction), get_args(Form), get_args(LabelScale)


@dataclass(frozen=True)
class Objective:
    """A loss with modifiers and regularizers, which is called on base signals and knows no framework.

    `pairs` chooses the pairs of a list: best_worst, best_rest, adjacent, first_round, tournament or
    all. `reduction` is the mean over pairs (or lists) of the global batch, or their sum. `form` is
    the least that the loss needs: rated lists, two responses of a prompt, or single responses.
    `implicit_reward`: whether the rewards that the loss compares are sums over tokens, means, or as
    one of its own options says.
    """

    name: str
    loss: Term
    regularizers: Sequence[Term] = ()
    modifiers: Sequence[Term] = ()
    pairs: str = "best_worst"
    reduction: str = "mean"
    form: str = ""
    implicit_reward: str = "sum"
    labels: str = "order"
    """What the loss takes of the labels: order, differences, unit or desirable (`settings.LabelScale`)."""
    metrics: Sequence[Term] = ()
    """Functions of signals that are measured beside the loss and not trained on (`measure`)."""
    sizes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """The sizes of feature signals' trailing dimensions by name, once a model is known (`bind`)."""

    def __post_init__(self) -> None:
        select(self.pairs)
        reward_of(self.loss, self.implicit_reward)
        for key, value, choices in (
            ("reduction", self.reduction, REDUCTIONS),
            ("form", self.form, ("", *FORMS)),
            ("labels", self.labels, SCALES),
        ):
            if value not in choices:
                raise ConfigError(f"objective.{key}={value}: {nearest(value, choices)}")
        names = [self.name, *(term.name for term in self.regularizers)]
        for name in names:
            if names.count(name) > 1:
                raise ConfigError(f"objective '{self.name}' has two parts named '{name}': rename one of them")
        for modifier in self.modifiers:
            self._require_fit(modifier)

    @property
    def terms(self) -> tuple[Term, ...]:
        """The loss and its regularizers."""
        return (self.loss, *self.regularizers)

    @property
    def signals(self) -> frozenset[str]:
        """The base signals that a call must pass."""
        contracts = [term.contract for term in (*self.terms, *self.modifiers, *self.metrics)]
        contracts += [term.contribution for term in self.terms if term.contribution]
        wanted = set().union(*(base_names(signal) for c in contracts for signal in c.signals))
        if self._shifts:
            wanted.add("logps")
        if any(c.is_pairwise for c in contracts):
            wanted.add("labels")
        if any(BASE[name].shape.startswith("B K L") for name in wanted):
            wanted.add("lengths")
        return frozenset(wanted)

    @property
    def needs_reference(self) -> bool:
        """Whether any term needs a reference."""
        return bool(provided_by(self.signals, REFERENCE))

    @property
    def needs_other_references(self) -> bool:
        """Whether any term needs references beside the first."""
        return bool(provided_by(self.signals, OTHERS))

    @property
    def gathers(self) -> bool:
        """Whether any term needs statistics of the whole optimizer step (`contribute`)."""
        return any(term.contribution for term in self.terms)

    @property
    def gathered_from(self) -> frozenset[str]:
        """The base signals that the statistics of the optimizer step are made of."""
        contracts = [term.contribution for term in self.terms if term.contribution]
        names = {name for c in contracts for signal in c.signals for name in base_names(signal)}
        return frozenset(names | ({"logps"} if self._shifts else set()))

    @property
    def _shifts(self) -> bool:
        """Whether a regularizer of the kind `offset` changes what the loss sees."""
        return any(term.kind == "offset" for term in self.regularizers)

    @property
    def takes_ratios(self) -> bool:
        """Whether it compares probabilities with those at the time of drawing.

        Such ratios are right only where responses were drawn from all of the policy's distribution, and not from the
        likelier part that `top_p` or `top_k` leave.
        """
        return bool(self.signals & {"behavior_logps", "token_behavior_logps", "token_old_logps"})

    @property
    def counts_ties(self) -> bool:
        """Whether the loss takes rewards, and its mean is over lists of equal rewards too.

        Such lists have no gradient, and belong to the mean: a step that leaves them out is larger than it should be.
        """
        if "rewards" not in self.loss.contract.signals:
            return False
        tied = torch.zeros(1, 2)
        known = {name: tied for name in ("labels", "rewards") if name in self.signals}
        counts = self.counts(**known, lengths=tied + 1, where=torch.ones_like(tied, dtype=torch.bool))
        return bool(counts[self.name] > 0)

    @property
    def is_pairwise(self) -> bool:
        """Whether the loss sees pairs; it sees whole lists otherwise."""
        return self.loss.contract.is_pairwise

    @property
    def data_form(self) -> str:
        """The least that the objective needs of the data: `form` if set, else pairs or lists, as the loss sees."""
        return self.form or ("pairs" if self.is_pairwise else "lists")

    @property
    def reward(self) -> ImplicitReward:
        """The implicit reward that the loss gives a response; beta is 1 for a loss without `beta`."""
        return reward_of(self.loss, self.implicit_reward)

    @property
    def modules(self) -> dict[str, nn.Module]:
        """The terms that have parameters or state, by name."""
        return {term.name: term.module for term in self.terms if term.module is not None}

    def bind(self, sizes: Sizes) -> None:
        """Tell terms with parameters of their own the sizes of the model's features.

        `sizes` gives the trailing dimensions of the feature signals, as `{"hidden": (D,)}`.
        """
        self.sizes.update(sizes)
        for module in self.modules.values():
            if callable(bind := getattr(module, "bind", None)):
                bind(sizes)

    def weights(self, progress: float = 0.0) -> dict[str, float]:
        """Return the weight of every part of the loss by name, when the share `progress` of the run is done."""
        return {self.name: 1.0} | {
            term.name: term.weight.at(progress) for term in self.regularizers if term.kind == "additive"
        }

    def __call__(
        self,
        *,
        where: Bool[Tensor, "B K"] | None = None,
        weights: Float[Tensor, "B"] | None = None,
        gathered: Mapping[str, Gathered] | None = None,
        progress: float = 0.0,
        **base: Tensor,
    ) -> Outcome:
        """Return the loss of a batch from base signals, given by keyword (see `signals`).

        A list of weight w counts as w lists. `progress` is the share of the run that is done, for
        weights with a schedule. `gathered` holds the statistics of the whole optimizer step; without
        it this batch is the whole, and terms with state take it in where gradients are wanted.

        Raises ConfigError when a signal that is needed is missing, misspelt, or of a wrong shape.
        """
        if gathered is None:
            gathered = self.contribute(where=where, weights=weights, progress=progress, **base)
            if torch.is_grad_enabled():
                self.absorb(gathered)
        signals, weights = self._prepare(base, where, weights)
        shifted, offsets = self._offset(signals, progress)
        now = self.weights(progress)
        parts: dict[str, Part] = {}
        values: dict[str, Tensor] = {}
        reports: dict[str, Part] = {}
        for term in self.terms:
            if term.kind == "offset":
                reports |= _reports(term, offsets[term.name], signals, weights)
                continue
            is_loss = term is self.loss
            hyper: dict[str, Any] = {GATHERED: gathered[term.name]} if term.contribution else {}
            if PROGRESS in term.contract.extra:
                hyper[PROGRESS] = progress
            view = shifted if is_loss else signals
            returned = modified(term, view, self.modifiers if is_loss else (), **hyper)
            values[term.name] = returned.values
            row_weights = term.row_weights(returned.values, view, weights)
            _require_shape(term, returned, row_weights)
            parts[term.name] = returned.part(row_weights, now[term.name])
            reports |= _reports(term, returned, view, weights)
        if self.reduction == "sum":
            parts = {k: Part(p.sum, torch.zeros_like(p.count), p.weight) for k, p in parts.items()}
        return Outcome(parts, values, reports)

    @torch.no_grad()
    def measure(
        self,
        *,
        where: Bool[Tensor, "B K"] | None = None,
        weights: Float[Tensor, "B"] | None = None,
        **base: Tensor,
    ) -> dict[str, Part]:
        """Return the metrics of a batch by name, each as (sum, count), so that they add up over batches.

        A metric returns values that are averaged as those of a loss are, or a `Part` of its own.
        """
        if not self.metrics:
            return {}
        signals, weights = self._prepare(base, where, weights)
        parts: dict[str, Part] = {}
        for term in self.metrics:
            returned = term.measured(signals)
            if isinstance(returned, Part):
                parts[term.name] = returned
                continue
            row_weights = term.row_weights(returned.values, signals, weights)
            _require_shape(term, returned, row_weights)
            parts[term.name] = returned.part(row_weights)
            parts |= _reports(term, returned, signals, weights)
        return parts

    @torch.no_grad()
    def contribute(
        self,
        *,
        where: Bool[Tensor, "B K"] | None = None,
        weights: Float[Tensor, "B"] | None = None,
        progress: float = 0.0,
        **base: Tensor,
    ) -> dict[str, Gathered]:
        """Return what this batch contributes to the statistics of the whole step, by term; see `join`."""
        if not self.gathers:
            return {}
        needed = self.signals if self._shifts else self.gathered_from
        signals, weights = self._prepare(base, where, weights, needed)
        shifted, _ = self._offset(signals, progress) if self._shifts else (signals, {})
        return {
            term.name: term.contribute(shifted if term is self.loss else signals, weights)
            for term in self.terms
            if term.contribution
        }

    def absorb(self, gathered: Mapping[str, Gathered]) -> None:
        """Let terms with state take in the statistics of a step, once; terms in eval mode do not."""
        for name, module in self.modules.items():
            if name in gathered and module.training and callable(absorb := getattr(module, "absorb", None)):
                absorb(gathered[name])

    def counts(self, **base: Tensor) -> dict[str, Tensor]:
        """Return the number of elements that each part of the loss counts, known from the data before any forward.

        A sum is divided by nothing and counts 0.
        """
        known = [v for name, v in base.items() if name in BASE and BASE[name].shape == "B K"]
        known += [base["where"].float()] if "where" in base else []
        if not known:
            raise ConfigError(f"counts of objective '{self.name}' need lengths or labels, as [B, K] tensors")
        scored = {name for name in self.signals if name not in base or not is_known_before(name)}
        letters = sizes_of({name: base[name] for name in base if name in BASE and is_known_before(name)})
        if "lengths" in base and self._counts_tokens:
            letters.setdefault("L", max(int(base["lengths"].max()), 1))
        blanks = {name: blank(name, known[0], self.sizes, letters) for name in scored}
        signals: dict[str, Any] = {**base, **blanks}
        with torch.no_grad():
            return {name: part.count for name, part in self(**signals).parts.items()}

    @property
    def _counts_tokens(self) -> bool:
        """Whether a term of lists asks which tokens there are, and so may count them."""
        return any("token_where" in term.contract.signals for term in (*self.terms, *self.modifiers))

    def _require_fit(self, modifier: Term) -> None:
        """Raise ConfigError where a modifier of lists meets a loss of pairs, or one of pairs another loss.

        A modifier of lists is one that takes signals of lists.
        """
        of_lists = modifier.contract.signals and not modifier.contract.is_pairwise
        if of_lists and self.is_pairwise:
            raise ConfigError(
                f"modifier '{modifier.name}' changes losses of lists, and '{self.name}' sees pairs: drop the modifier, "
                "or choose an objective of lists (objective=grpo)"
            )
        if not of_lists and (not self.is_pairwise or self.loss.contribution):
            raise ConfigError(
                f"modifier '{modifier.name}' changes losses of single pairs, and '{self.name}' is none: "
                "drop the modifier, or choose a pairwise objective"
            )

    def _offset(self, signals: Signals, progress: float) -> tuple[Signals, dict[str, Returned]]:
        """Return the signals that the loss sees, shifted by regularizers of the kind `offset`, and what these gave."""
        terms = {term.name: term for term in self.regularizers if term.kind == "offset"}
        returned = {name: term(signals) for name, term in terms.items()}
        offsets = [terms[name].weight.at(progress) * one.values for name, one in returned.items()]
        return signals.shifted(torch.stack(offsets).sum(dim=0)) if offsets else signals, returned

    def _prepare(
        self,
        base: Mapping[str, Tensor],
        where: Tensor | None,
        weights: Tensor | None,
        needed: Collection[str] | None = None,
    ) -> tuple[Signals, Tensor]:
        """Return the signals and weights of lists; all that the objective takes has to be there, or `needed`."""
        signals = base if where is None else {**base, "where": where}
        check_given(self.name, self.signals if needed is None else needed, signals)
        sizes = sizes_of(signals)
        like = base["logps"] if "logps" in base else next(iter(base.values()))
        if where is None:
            where = torch.ones(sizes["B"], sizes["K"], dtype=torch.bool, device=like.device)
        if weights is None:
            weights = torch.ones(sizes["B"], dtype=like.dtype, device=like.device)
        if weights.shape != (sizes["B"],):
            raise ConfigError(f"weights: one a list, shape ({sizes['B']},), got {tuple(weights.shape)}")
        where = where.bool()
        choose = select(self.pairs)
        return Signals(base, where, lambda: choose(base["labels"].masked_fill(~where, 0), where)), weights


def _require_shape(term: Term, returned: Returned, row_weights: Tensor) -> None:
    """Raise ConfigError where the values or counts of a term are not one for each weight, nor one number for all."""
    for what, given in (("values", returned.values), ("counts", returned.counts)):
        if given is not None and given.dim() > 0 and given.shape != row_weights.shape:
            raise ConfigError(
                f"{term.path or term.name} returned {what} of shape {tuple(given.shape)}: expected "
                f"{tuple(row_weights.shape)}, one for each pair, list or response that it sees"
            )


def _reports(term: Term, returned: Returned, signals: Signals, weights: Tensor) -> dict[str, Part]:
    """Return what a term (and its modifiers) reported, each as (sum, count), where lists have these weights.

    Raises ConfigError for a report of another shape than the term's values may have.
    """
    parts: dict[str, Part] = {}
    for name, report in returned.reported().items():
        row_weights = term.row_weights(report.values, signals, weights)
        if returned.values.dim() == 0 and report.values.dim() == 0:
            report = Returned(report.values.expand_as(row_weights), report.counts)
        counts = row_weights if report.counts is None else report.counts
        if not report.values.shape == row_weights.shape == counts.shape:
            raise ConfigError(
                f"{name} is reported in shape {tuple(report.values.shape)}: expected {tuple(row_weights.shape)}, as "
                "the values of a loss are, or one number"
            )
        parts[name] = report.part(row_weights)
    return parts
