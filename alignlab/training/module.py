"""The Lightning module: one optimizer step over the micro-batches of a global batch."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn

from alignlab import ranks
from alignlab.data.batching.batches import Step
from alignlab.errors import ConfigError, RunError
from alignlab.metrics.behavior import behavior_metrics, with_effective
from alignlab.metrics.meter import Meter
from alignlab.metrics.preference import preference_metrics, with_margin
from alignlab.metrics.split_metrics import Rows, diagram, split_metrics
from alignlab.objective.gathered import Gathered, join
from alignlab.objective.objective import Objective
from alignlab.policies.causal_lm.adapters import drop_out
from alignlab.policies.causal_lm.decoder import has_adapter
from alignlab.policies.policy import NO_REFERENCES, Policy, References
from alignlab.policies.scorer import Opaque, Scorer
from alignlab.training.datamodule import Sealed
from alignlab.training.distance import Distance
from alignlab.training.first_loss import FirstLoss
from alignlab.training.meta import moved
from alignlab.training.optim import warn_of_rounding
from alignlab.training.peak import peaks
from alignlab.training.rails import Finite, Tolerance, check_start, put_back, state_of
from alignlab.training.strategies.engine import Engine
from alignlab.types import Batch, Outcome, Part

Found = dict[str, Tensor]
"""Signals by name."""
Statistics = dict[str, Gathered] | None
"""Of the whole step, by term."""
ROWS = ("logps", "ref_logps", "values", "preferences", "wins", "lengths", "labels", "where")
"""Signals that metrics of a whole split go by."""
WATCHED = ("kl_reverse", "rationale_logps", "sample_logps", "sample_ref_logps")
"""Further signals that metrics of a micro-batch go by."""
DRAWN_BY = ("logps", "ref_logps", "where", "behavior_logps", "from_reference")
"""Signals that metrics of drawn responses go by."""
MakeOptimizer = Callable[[nn.Module], tuple[torch.optim.Optimizer, Any]]


class PreferenceModule(L.LightningModule):
    """Trains a policy on an objective.

    Every part of the loss is divided by its count over the whole optimizer step, so micro-batches
    change nothing. `references` are live ones; cached scores travel in the batch.
    With `start_tolerance`, the first reference must give what the policy gives at the first step. A step that is not
    `finite` moves nothing, but counts: data order, schedule and random state go on. `reference_is_start`: the first
    reference is, and stays, what the policy starts as, so that log-ratios tell the change since then. With a
    `meta_rate` the gradient of a step is taken where `meta.moved` brings the weights.
    """

    def __init__(
        self,
        policy: Policy,
        objective: Objective,
        make_optimizer: MakeOptimizer,
        *,
        steps: int,
        engine: Engine | None = None,
        scorer: nn.Module | None = None,
        references: References = NO_REFERENCES,
        gradient_clip_val: float | None = None,
        start_tolerance: Tolerance | None = None,
        finite: Finite | None = None,
        reference_is_start: bool = False,
        meta_rate: float | None = None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.engine = engine or Engine()
        self.scorer = scorer or Scorer(policy)
        self.objective, self.make_optimizer, self.steps = objective, make_optimizer, steps
        self.terms = nn.ModuleDict(objective.modules)  # so that their state is checkpointed
        self._references = references  # in a tuple: no submodules, so neither trained nor checkpointed
        self._distance = Distance(self.scorer) if "parameter_distance" in objective.signals else None
        self.gradient_clip_val, self.start_tolerance = gradient_clip_val, start_tolerance
        self.finite, self.reference_is_start = finite or Finite(), reference_is_start
        self.strict_loading = not has_adapter(policy.model)  # the frozen weights are not in its checkpoints
        self.meta_rate = meta_rate
        self.latest_step: dict[str, float] = {}
        self.reliability: dict[str, list[float]] = {}
        self.validated: tuple[list[str], Rows] | None = None
        """The ids of the lists of the latest evaluation, and what the policy made of them."""
        self._tokens, self._seconds = 0, 0.0

    @property
    def tokens_per_second(self) -> float:
        """Unique tokens trained on a second, over all steps of this process."""
        return self._tokens / self._seconds if self._seconds else 0.0

    @property
    def trained(self) -> nn.Module:
        """All that the optimizer moves: the policy, and terms with parameters of their own."""
        return nn.ModuleList([self.scorer, self.terms]) if self.terms else self.scorer

    @property
    def learned_terms(self) -> bool:
        """Whether terms have parameters: engines then want them called on every rank, on idle ones too."""
        return any(True for _ in self.terms.parameters())

    @property
    def scored_dtype(self) -> torch.dtype:
        """The dtype of log-probabilities and of the loss: float64 where the policy is in it, else float32."""
        return torch.promote_types(next(self.scorer.parameters()).dtype, torch.float32)

    @property
    def progress(self) -> float:
        """The share of the optimizer steps that is done."""
        return self.global_step / self.steps

    def configure_optimizers(self) -> Any:
        """Optimizer and its schedule."""
        optimizer, scheduler = self.make_optimizer(self.trained)
        if not self.engine.keeps_float32:
            groups = optimizer.param_groups
            weights = [weight for group in groups for weight in group["params"]]
            warn_of_rounding(weights, max(group.get("initial_lr", group["lr"]) for group in groups))
        return {"optimizer": optimizer, "lr_scheduler": scheduler}

    def on_fit_start(self) -> None:
        """Bring the live references to where the policy is."""
        for reference in (self._references[0], *self._references[1]):
            if isinstance(reference, nn.Module):
                reference.to(self.device).requires_grad_(False)

    def signals(self, batch: Batch) -> dict[str, Tensor]:
        """Base signals of a micro-batch: what is known of the data, and the scores of the models."""
        moved = {} if self._distance is None else {"parameter_distance": self._distance().to(self.device)}
        scored = self.scorer(Opaque(batch), Opaque(*self._references), self.objective.signals)
        dtype = next(iter(scored.values())).dtype
        return {**data_signals(batch, dtype), **cached(batch, dtype), **scored, **moved}

    def training_step(self, sealed: Sealed, _: int) -> None:
        """Forward and backward over all micro-batches, then one update."""
        began, step = time.perf_counter(), sealed.step
        meter, totals, held = Meter(), self._totals(step), state_of(self.terms) if self.finite.skips else {}
        alike = self.global_step == 0 and not self.objective.modules  # whose state one more call might change
        first = FirstLoss(self.objective) if alike else None
        self.terms.train()
        drop_out(self.scorer, on=True)
        if self._distance is not None:
            self._distance.forget()
        with self._shifted(step):
            ahead = self._ahead(step, self.signals)
            for number, batch in enumerate(step, start=1):
                with self.engine.micro(self.trainer, last=number == len(step)):
                    signals = self.signals(batch)
                    gathered = ahead[number - 1] if ahead else self._statistics(step, [signals])[0]
                    if batch.idle and not self.learned_terms:
                        self.manual_backward(nothing(signals))
                        continue
                    outcome = self.objective(**signals, gathered=gathered, progress=self.progress)
                    if self.global_step == 0 and self.start_tolerance is not None and "ref_logps" in signals:
                        check_start(signals, batch.ids, self.start_tolerance)
                    share = outcome.loss_over(totals)
                    if (
                        ranks.world() > 1
                    ):  # engines average gradients, and want the same way back on every rank
                        share = share * (0 if batch.idle else ranks.world()) + nothing(signals)
                    self.manual_backward(share)
                if not batch.idle:
                    meter.add(self._watched(signals, outcome))
                    if first:
                        first.add(signals, outcome.parts[self.objective.name])
        drop_out(self.scorer, on=False)
        if first and ranks.main():
            first.tell()
        metrics = self._named(Meter.joined(ranks.gathered(meter)))

        def passes(norm: float) -> bool:
            passed = self.finite.passes(self.global_step + 1, metrics["loss"], norm, step, self.signals)
            if not passed:
                put_back(self.terms, held)
            return passed

        if self._distance is not None:
            self._distance.pull()
        norm = self.engine.update(self, passes)
        self.lr_schedulers().step()  # type: ignore[union-attr]
        seconds = time.perf_counter() - began
        metrics |= {"gradient_norm": norm, **peaks(self.device)}
        if self.finite.skips:
            metrics["nonfinite"] = self.finite.count
        metrics["lr"] = self.optimizers().param_groups[0]["lr"]  # type: ignore[union-attr]
        tokens = sum(ranks.gathered(sum(batch.tokens.numel() for batch in step if not batch.idle)))
        metrics["tokens_per_second"] = tokens / seconds
        self._tokens, self._seconds = self._tokens + tokens, self._seconds + seconds
        self.report("train", metrics)
        self.latest_step = metrics

    @torch.no_grad()
    def evaluate(
        self, steps: Any, *, untrained: bool = False, sources: Mapping[str, str] | None = None
    ) -> dict[str, float]:
        """Metrics over all micro-batches of a loader, as the training steps report them, and those of the whole.

        `untrained`: the policy is still the reference, so that log-probabilities cached in the
        batch are its own too, and need no forward. `sources` are those of the rows, by id.
        """
        meter, began, tokens = Meter(), time.perf_counter(), 0
        seen: list[Found] = []
        ids: list[str] = []
        score = self._from_cache if untrained else self.signals
        self.terms.eval()
        drop_out(self.scorer, on=False)  # a run that is resumed begins in the mode of training
        for step in steps:
            moved = [batch.to(self.device) for batch in step]
            ahead = self._ahead(moved, score)
            for number, batch in enumerate(moved):
                signals = score(batch)
                gathered = ahead[number] if ahead else self._statistics(moved, [signals])[0]
                if batch.idle and not self.learned_terms:
                    continue
                outcome = self.objective(**signals, gathered=gathered, progress=self.progress)
                if batch.idle:
                    continue
                meter.add(self._watched(signals, outcome))
                tokens += batch.tokens.numel()
                seen.append({name: signals[name].cpu() for name in ROWS if name in signals})
                ids += batch.ids
        everywhere = ranks.gathered((meter, tokens, seen, ids))
        seen = [signals for part in everywhere for signals in part[2]]
        ids = [row for part in everywhere for row in part[3]]
        rows = Rows.joined(seen, self.objective.reward)
        self.reliability, self.validated = diagram(rows), (ids, rows)
        of_split = split_metrics(rows, [sources[row] for row in ids] if sources else ())
        metrics = {**self._named(Meter.joined([part[0] for part in everywhere])), **of_split}
        seconds = time.perf_counter() - began
        return {**metrics, "tokens_per_second": sum(part[1] for part in everywhere) / seconds}

    def report(self, split: str, metrics: Mapping[str, float]) -> None:
        """Send metrics to every logger, under the number of optimizer steps done, and to Lightning's callbacks."""
        named = {f"{split}/{name}": value for name, value in metrics.items()}
        self.trainer.callback_metrics.update({name: torch.tensor(value) for name, value in named.items()})
        for logger in self.loggers:
            logger.log_metrics(named, step=self.global_step)

    def _shifted(self, step: Step) -> AbstractContextManager[None]:
        """Where a step's gradient is taken: at weights that tell its lists of weight 0 apart, if there is a rate."""
        return moved(self, step, self.meta_rate) if self.meta_rate else nullcontext()

    def _ahead(self, step: Step, score: Callable[[Batch], Found]) -> list[Statistics]:
        """For every micro-batch the statistics of the whole step, where a term wants them.

        These need all scores before the first loss: one forward more, without gradient, unless they are made of data
        and cached scores alone. Where the step is one micro-batch (it is so on all ranks or on none) nothing is
        returned: its own forward has all scores.
        """
        if not self.objective.gathers:
            return [None for _ in step]
        if len(step) == 1:
            return []
        known = [self._known(batch) for batch in step]
        if self.objective.gathered_from <= set(known[0]):
            return self._statistics(step, known)
        with torch.no_grad():
            return self._statistics(step, map(score, step))

    def _statistics(self, step: Step, signals: Iterable[Found]) -> list[Statistics]:
        """For every micro-batch the statistics of the whole step, which terms with state take in."""
        brought = [self.objective.contribute(**_detached(found), progress=self.progress) for found in signals]
        shown = [
            {name: rows.none() if batch.idle else rows for name, rows in part.items()}
            for batch, part in zip(step, brought, strict=True)
        ]
        views = [across_ranks([part[name] for part in shown]) for name in shown[0]]
        joint = [dict(zip(shown[0], view, strict=True)) for view in zip(*views, strict=True)]
        self.objective.absorb(joint[0])
        return list(joint)

    def _known(self, batch: Batch) -> Found:
        """Signals that need no forward: what is known of the data, and cached scores of references."""
        return {**data_signals(batch, self.scored_dtype), **cached(batch, self.scored_dtype)}

    def _from_cache(self, batch: Batch) -> Found:
        """Signals of a policy that still is its reference: cached scores are its own, where they suffice."""
        found = as_reference(self._known(batch))
        return found if self.objective.signals <= set(found) else as_reference(self.signals(batch))

    def _totals(self, step: Step) -> dict[str, Tensor]:
        """Elements that each part of the loss counts over the whole step."""
        counts = [self.objective.counts(**data_signals(batch, self.scored_dtype)) for batch in step]
        busy = torch.tensor([not batch.idle for batch in step], device=self.device)
        sums = [(torch.stack([count[name] for count in counts]) * busy).sum() for name in counts[0]]
        return dict(zip(counts[0], ranks.total(torch.stack(sums)), strict=True))

    def _named(self, meter: Meter) -> dict[str, float]:
        """Metrics with the total loss in front: the weighted sum of its parts."""
        values = with_effective(with_margin(meter.values()))
        weights = self.objective.weights(self.progress)
        loss = sum(weight * values.get(f"loss/{name}", 0.0) for name, weight in weights.items())
        return {"loss": loss, **values}

    def _watched(self, signals: dict[str, Tensor], outcome: Outcome) -> dict[str, Part]:
        known = {name: signals[name] for name in (*ROWS, *WATCHED) if name in signals}
        if self.reference_is_start and "ref_logps" in signals:
            known["start_logps"] = signals["ref_logps"]
            known = as_reference(known) if self.global_step == 0 else known
        parts = {f"loss/{name}": part for name, part in outcome.parts.items()}
        metrics = {**parts, **preference_metrics(**known, reward=self.objective.reward)}
        if {"logps", "behavior_logps"} <= signals.keys():
            metrics |= behavior_metrics(**{k: v for k, v in {**signals, **known}.items() if k in DRAWN_BY})
        if taken := sorted(metrics.keys() & outcome.reports.keys()):
            raise ConfigError(
                f"a term reports {taken[0]}: the training has a metric of this name; choose another"
            )
        metrics |= outcome.reports
        own = self.objective.measure(**signals)
        if taken := sorted({"loss", *metrics} & own.keys()):
            raise ConfigError(f"metrics.{taken[0]}: the training has a metric of this name; choose another")
        return {**metrics, **own}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put the number of steps that were left out into the checkpoint. Of adapters, it holds what trains alone."""
        checkpoint["nonfinite"] = self.finite.count
        if not self.strict_loading:
            checkpoint["state_dict"] = without_frozen(self, checkpoint["state_dict"])

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Continue the count of steps that were left out."""
        self.finite.count = checkpoint["nonfinite"]

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """Take weights and terms from a checkpoint, which of adapters holds what trains alone.

        Raises RunError where it lacks some of that, holds others, or holds some of another shape.
        """
        own = self.state_dict()
        if misshapen := [
            name for name in own if name in state_dict and own[name].shape != state_dict[name].shape
        ]:
            raise RunError(
                f"the checkpoint is of another model: {len(misshapen)} weights have other shapes (first: "
                f"{misshapen[0]}); put back the model that the run was begun with, or start a new run"
            )
        keys = super().load_state_dict(state_dict, strict=strict, assign=assign)
        trained = {name for name, weight in self.named_parameters() if weight.requires_grad}
        if differing := sorted((trained & set(keys.missing_keys)) | set(keys.unexpected_keys)):
            raise RunError(
                f"the checkpoint is of a run with other adapters: {len(differing)} weights are in one alone (first: "
                f"{differing[0]})"
            )
        return keys


def without_frozen(module: nn.Module, state: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of a state dict that are no frozen parameter, nor part of the quantization of one."""
    frozen = {name for name, weight in module.named_parameters() if not weight.requires_grad}

    def belongs(name: str) -> bool:
        return name in frozen or ("." in name and belongs(name.rpartition(".")[0]))

    return {name: value for name, value in state.items() if not belongs(name)}


def data_signals(batch: Batch, dtype: torch.dtype) -> dict[str, Tensor]:
    """The base signals that need no model."""
    known = {"labels": batch.labels, "weights": batch.weights, "lengths": response_lengths(batch)}
    if batch.rewards is not None:
        known["rewards"] = batch.rewards
    if batch.wins is not None:
        known["wins"] = batch.wins
    if batch.ratings is not None:
        known["ratings"] = batch.ratings
    if batch.tasks is not None:
        known["tasks"] = batch.tasks
    known |= batch.drawn
    return {name: value.to(dtype) for name, value in known.items()} | {"where": batch.where}


def as_reference(signals: Found) -> Found:
    """Signals of a policy that still is its reference, whose log-probabilities are the reference's, bit for bit.

    Those of two passes may differ in their last bits, by how their batches were cut, and a margin of nothing but
    rounding would be a win or a loss where there is a tie.
    """
    own = {name: signals[f"ref_{name}"] for name in ("logps", "prompt_logps") if f"ref_{name}" in signals}
    return {**signals, **own}


def _detached(signals: Found) -> Found:
    return {name: value.detach() for name, value in signals.items()}


def nothing(signals: Found) -> Tensor:
    """A loss of 0 that takes the way back through all that these signals came from."""
    return torch.stack([value.sum() * 0 for value in signals.values() if value.requires_grad]).sum()


def cached(batch: Batch, dtype: torch.dtype) -> dict[str, Tensor]:
    """Scores of references that were computed before the training."""
    return {name: value.to(dtype) for name, value in batch.cached.items()}


def response_lengths(batch: Batch) -> Tensor:
    """Tokens of each response, `[B, K]`; 0 in empty slots."""
    lengths_N = torch.bincount(batch.row[batch.is_response])
    return torch.cat([lengths_N, lengths_N.new_zeros(1)])[batch.slot]


def across_ranks(parts: Sequence[Gathered]) -> list[Gathered]:
    """The rows of all ranks' micro-batches, in rank order, seen from each micro-batch of this rank.

    Every rank must call it, with at least one micro-batch each; the number of rows may differ.
    """
    views = join(parts)
    if ranks.world() == 1:
        return views
    whole = views[0]
    before = sum(ranks.gathered(len(whole.rows))[: ranks.rank()])
    rows, weights = ranks.rows(whole.rows), ranks.rows(whole.weights)
    return [Gathered(rows, weights, before + view.start) for view in views]
