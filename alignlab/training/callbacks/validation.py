"""The callback that validates at step 0, every n steps, and at the end, by the module's own `evaluate`."""

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import lightning as L

from alignlab.data.batching.batches import Step, StepLoader
from alignlab.data.encoding.token_rows import TokenRows
from alignlab.errors import ConfigError, nearest
from alignlab.online.beside import Beside
from alignlab.runs.folder import RunFolder, write_text
from alignlab.training.module import PreferenceModule
from alignlab.training.stop import Listener
from alignlab.training.validated import write_scores
from alignlab.types import Example


class _CutShort(Exception):
    """Raised within a validation when the run is asked to stop."""


class Validation(L.Callback):
    """A callback that validates before the checkpoint of the same step, so that a resumed run repeats and skips none.

    It is cut short where the `listener` was asked to stop, to leave time for the checkpoint; the resumed
    run begins with it. Only the last one is always finished: no step is left to begin with.
    `starts_as_reference`: the policy starts as the very model whose log-probabilities are cached.
    `reliability`: the file that takes the diagram of each validation, one json line each. `scores`: the folder that
    takes the scores of all rows, and the worst mistakes, of the latest one. `others`: callbacks by name, whose
    `on_validation_end` runs after each validation but that of the start.
    """

    def __init__(
        self,
        loader: StepLoader | Beside,
        every_n_steps: int,
        *,
        listener: Listener | None = None,
        starts_as_reference: bool = False,
        reliability: Path | None = None,
        scores: RunFolder | None = None,
        others: Mapping[str, L.Callback] | None = None,
    ) -> None:
        self.loader, self.every_n_steps = loader, every_n_steps
        self.reliability, self.scores, self.others = reliability, scores, others or {}
        self.listener, self.starts_as_reference = listener or Listener(), starts_as_reference
        self.history: dict[int, dict[str, float]] = {}
        self.diagrams: dict[int, dict[str, list[float]]] = {}

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Validate before the first step; a continued run repeats a validation that was cut short."""
        step = trainer.global_step
        if step % self.every_n_steps == 0 and step not in self.history:
            self._run(trainer, module, self.loader, untrained=self.starts_as_reference and step == 0)

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *_: Any) -> None:
        """Validate if that is due after this step, and where the training ends."""
        if trainer.global_step == trainer.max_steps or trainer.should_stop:
            self._run(trainer, module, self.loader)
        elif trainer.global_step % self.every_n_steps == 0:
            with suppress(_CutShort):
                self._run(trainer, module, self._until_asked())

    def _until_asked(self) -> Iterator[Step]:
        for step in self.loader:
            if self.listener.agreed() is not None:
                raise _CutShort
            yield step

    def _run(
        self, trainer: L.Trainer, module: L.LightningModule, steps: Any, *, untrained: bool = False
    ) -> None:
        assert isinstance(module, PreferenceModule)
        with trainer.precision_plugin.forward_context():
            metrics = module.evaluate(steps, untrained=untrained, sources=self._sources)
        metrics = with_changes(metrics, self.initial)
        module.report("val", metrics)
        self.history[trainer.global_step] = metrics
        if module.reliability:
            self.diagrams[trainer.global_step] = module.reliability
        if self.reliability and self.diagrams and trainer.is_global_zero:
            rows = ({"step": step, **diagram} for step, diagram in self.diagrams.items())
            write_text(self.reliability, "".join(json.dumps(row) + "\n" for row in rows))
        if self.scores and module.validated and trainer.is_global_zero:
            write_scores(self.scores, *module.validated, self._example)
        if trainer.global_step == 0:
            self._check_monitors(metrics)
            return
        for callback in self.others.values():
            callback.on_validation_epoch_end(trainer, module)
            callback.on_validation_end(trainer, module)

    def _check_monitors(self, metrics: Mapping[str, float]) -> None:
        """Raise ConfigError, before the first step, where a callback monitors an unknown validation metric."""
        known = [f"val/{name}" for name in metrics]
        for name, callback in self.others.items():
            monitor = getattr(callback, "monitor", None)
            if isinstance(monitor, str) and not monitor.startswith("train/") and monitor not in known:
                raise ConfigError(
                    f"callbacks.{name}.monitor={monitor} is no validation metric: {nearest(monitor, known)}"
                )

    @cached_property
    def _places(self) -> dict[str, int]:
        return {
            name: int(place)
            for name, place in zip(self.loader.rows.ids, self.loader.rows.places, strict=True)
        }

    def _example(self, row: str) -> Example:
        return self.loader.rows.examples[self._places[row]]

    @cached_property
    def _sources(self) -> dict[str, str]:
        return sources_of(self.loader.rows)

    @property
    def initial(self) -> dict[str, float]:
        """The metrics of the validation before the first step, by name."""
        return self.history.get(0, {})

    @property
    def final(self) -> dict[str, float]:
        """The metrics of the latest validation, by name."""
        return self.history[max(self.history)] if self.history else {}

    @property
    def best(self) -> dict[str, float]:
        """The metrics of the validation with the lowest loss, by name, with its `step`."""
        if not self.history:
            return {}
        step = min(self.history, key=lambda s: (self.history[s]["loss"], s))
        return {"step": float(step), **self.history[step]}

    def state_dict(self) -> dict[str, Any]:
        """Return the metrics and the reliability diagrams of all validations, for the checkpoint."""
        return {"history": self.history, "diagrams": self.diagrams}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the metrics and the reliability diagrams of earlier validations from a checkpoint."""
        self.history, self.diagrams = state_dict["history"], state_dict["diagrams"]


def sources_of(rows: TokenRows) -> dict[str, str]:
    """Return the source of each row by the row's id; `unknown` where the row names none."""
    return {rows.ids[number]: rows.source(number) for number in range(len(rows))}


def with_changes(metrics: dict[str, float], initial: dict[str, float]) -> dict[str, float]:
    """Add `logps_change/...` (nats since the first validation) to the metrics, where no reference gave it already."""
    sides = [f"logps/{side}" for side in ("chosen", "rejected")]
    known = {name: metrics[name] - initial.get(name, metrics[name]) for name in sides if name in metrics}
    return {**{name.replace("logps", "logps_change"): value for name, value in known.items()}, **metrics}
