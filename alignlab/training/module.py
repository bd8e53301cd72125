"""The Lightning module: one optimizer step over the micro-batches of a global batch."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import lightning as L
import torch
from torch import Tensor

from alignlab.data.batches import Step
from alignlab.metrics.meter import Meter
from alignlab.metrics.preference import preference_metrics
from alignlab.objectives.objective import Objective
from alignlab.policies.causal_lm import CausalLM
from alignlab.training.datamodule import Sealed
from alignlab.training.rails import check_finite, check_start
from alignlab.types import Batch, Outcome, Part

MakeOptimizer = Callable[[CausalLM], tuple[torch.optim.Optimizer, Any]]


class PreferenceModule(L.LightningModule):
    """Trains a policy on an objective.

    Every part of the loss is divided by its count over the whole optimizer step, so micro-batches
    change nothing. `reference` is a live one; cached log-probabilities travel in the batch. With
    `start_tolerance`, the first loss must be that of zero log-ratios.
    """

    def __init__(
        self,
        policy: CausalLM,
        objective: Objective,
        make_optimizer: MakeOptimizer,
        *,
        reference: CausalLM | None = None,
        gradient_clip_val: float | None = None,
        start_tolerance: float | None = None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.policy, self.objective, self.make_optimizer = policy, objective, make_optimizer
        self._reference = (reference,)  # in a tuple: not a submodule, so neither trained nor checkpointed
        self.gradient_clip_val, self.start_tolerance = gradient_clip_val, start_tolerance
        self.latest_step: dict[str, float] = {}
        self._tokens, self._seconds = 0, 0.0

    @property
    def reference(self) -> CausalLM | None:
        """The live reference, if there is one."""
        return self._reference[0]

    @property
    def tokens_per_second(self) -> float:
        """Unique tokens trained on a second, over all steps of this process."""
        return self._tokens / self._seconds if self._seconds else 0.0

    def configure_optimizers(self) -> Any:
        """Optimizer and its schedule."""
        optimizer, scheduler = self.make_optimizer(self.policy)
        return {"optimizer": optimizer, "lr_scheduler": scheduler}

    def on_fit_start(self) -> None:
        """Bring the live reference to where the policy is."""
        if self.reference is not None:
            self.reference.to(self.device).requires_grad_(False)

    def signals(self, batch: Batch) -> dict[str, Tensor]:
        """Base signals of a micro-batch: what is known of the data, and the policy's scores."""
        divergences = self.objective.divergences
        scores = self.policy(batch, reference=self.reference, divergences=divergences)
        signals = {**data_signals(batch, scores.logps.dtype), "logps": scores.logps}
        signals |= {name: getattr(scores, name) for name in divergences}
        ref_logps = batch.ref_logps if scores.ref_logps is None else scores.ref_logps
        if ref_logps is not None:
            signals["ref_logps"] = ref_logps.to(scores.logps.dtype)
        return signals

    def training_step(self, sealed: Sealed, _: int) -> None:
        """Forward and backward over all micro-batches, then one update."""
        began, step = time.perf_counter(), sealed.step
        meter, ids = Meter(), [row for batch in step for row in batch.ids]
        totals = self._totals(step)
        for batch in step:
            signals = self.signals(batch)
            outcome = self.objective(**signals)
            if self.global_step == 0 and self.start_tolerance is not None and "ref_logps" in signals:
                check_start(self.objective, signals, outcome, batch.ids, tolerance=self.start_tolerance)
            self.manual_backward(outcome.loss_over(totals))
            meter.add(self._watched(signals, outcome))
        metrics = named_loss(meter.values(), self.objective)
        clip = self.gradient_clip_val or float("inf")
        norm = torch.nn.utils.clip_grad_norm_(self.policy.parameters(), clip).item()
        check_finite(self.global_step, metrics["loss"], norm, ids)
        self._update()
        seconds = time.perf_counter() - began
        metrics["gradient_norm"] = norm
        metrics["lr"] = self.optimizers().param_groups[0]["lr"]  # type: ignore[union-attr]
        tokens = sum(batch.tokens.numel() for batch in step)
        metrics["tokens_per_second"] = tokens / seconds
        self._tokens, self._seconds = self._tokens + tokens, self._seconds + seconds
        self.report("train", metrics)
        self.latest_step = metrics

    @torch.no_grad()
    def evaluate(self, steps: Any, *, untrained: bool = False) -> dict[str, float]:
        """Metrics over all micro-batches of a loader, as the training steps report them.

        `untrained`: the policy is still the reference, so that log-probabilities cached in the
        batch are its own too, and need no forward.
        """
        meter, began, tokens = Meter(), time.perf_counter(), 0
        for step in steps:
            for batch in step:
                batch = batch.to(self.device)
                known = batch.ref_logps if untrained else None
                signals = self.signals(batch) if known is None else cached_signals(batch, known)
                meter.add(self._watched(signals, self.objective(**signals)))
                tokens += batch.tokens.numel()
        metrics = named_loss(meter.values(), self.objective)
        return {**metrics, "tokens_per_second": tokens / (time.perf_counter() - began)}

    def report(self, split: str, metrics: Mapping[str, float]) -> None:
        """Send metrics to every logger, under the number of optimizer steps done."""
        named = {f"{split}/{name}": value for name, value in metrics.items()}
        for logger in self.loggers:
            logger.log_metrics(named, step=self.global_step)

    def _totals(self, step: Step) -> dict[str, Tensor]:
        """Elements that each part of the loss counts over the whole step."""
        counts = [self.objective.counts(**data_signals(batch, torch.float32)) for batch in step]
        return {name: torch.stack([count[name] for count in counts]).sum() for name in counts[0]}

    def _watched(self, signals: dict[str, Tensor], outcome: Outcome) -> dict[str, Part]:
        names = ("logps", "ref_logps", "lengths", "labels", "where", "kl_reverse")
        known = {name: signals[name] for name in names if name in signals}
        parts = {f"loss/{name}": part for name, part in outcome.parts.items()}
        return {**parts, **preference_metrics(**known, beta=self.objective.beta)}

    def _update(self) -> None:
        optimizer, scheduler = self.optimizers(), self.lr_schedulers()
        optimizer.step()  # type: ignore[union-attr]
        optimizer.zero_grad()  # type: ignore[union-attr]
        scheduler.step()  # type: ignore[union-attr]


def data_signals(batch: Batch, dtype: torch.dtype) -> dict[str, Tensor]:
    """The base signals that need no model."""
    known = {"labels": batch.labels, "weights": batch.weights, "lengths": response_lengths(batch)}
    if batch.rewards is not None:
        known["rewards"] = batch.rewards
    return {name: value.to(dtype) for name, value in known.items()} | {"where": batch.where}


def cached_signals(batch: Batch, logps: Tensor) -> dict[str, Tensor]:
    """Base signals of a policy that is its reference, whose log-probabilities are at hand."""
    return {**data_signals(batch, logps.dtype), "logps": logps, "ref_logps": logps}


def response_lengths(batch: Batch) -> Tensor:
    """Tokens of each response, `[B, K]`; 0 in empty slots."""
    lengths_N = torch.bincount(batch.row[batch.is_response])
    return torch.cat([lengths_N, lengths_N.new_zeros(1)])[batch.slot]


def named_loss(values: dict[str, float], objective: Objective) -> dict[str, float]:
    """Values with the total loss in front: the weighted sum of its parts."""
    weights = {objective.name: 1.0, **{term.name: term.weight for term in objective.regularizers}}
    loss = sum(weight * values.get(f"loss/{name}", 0.0) for name, weight in weights.items())
    return {"loss": loss, **values}
