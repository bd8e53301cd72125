"""Validation at step 0, every n steps, and at the end, by the module's own `evaluate`."""

from typing import Any

import lightning as L

from alignlab.data.batches import StepLoader
from alignlab.training.module import PreferenceModule


class Validation(L.Callback):
    """Runs before the checkpoint of the same step, so a resumed run neither repeats nor skips one.

    `starts_as_reference`: the policy starts as the very model whose log-probabilities are cached.
    """

    def __init__(self, loader: StepLoader, every_n_steps: int, *, starts_as_reference: bool = False) -> None:
        self.loader, self.every_n_steps = loader, every_n_steps
        self.starts_as_reference = starts_as_reference
        self.history: dict[int, dict[str, float]] = {}

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """The metrics that training starts from."""
        if trainer.global_step == 0:
            self._run(trainer, module, untrained=self.starts_as_reference)

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *_: Any) -> None:
        """Validate where it is due."""
        if trainer.global_step % self.every_n_steps == 0 or trainer.global_step == trainer.max_steps:
            self._run(trainer, module)

    def _run(self, trainer: L.Trainer, module: L.LightningModule, *, untrained: bool = False) -> None:
        assert isinstance(module, PreferenceModule)
        with trainer.precision_plugin.forward_context():
            metrics = module.evaluate(self.loader, untrained=untrained)
        module.report("val", metrics)
        self.history[trainer.global_step] = metrics

    @property
    def initial(self) -> dict[str, float]:
        """Metrics before the first step."""
        return self.history.get(0, {})

    @property
    def final(self) -> dict[str, float]:
        """The latest metrics."""
        return self.history[max(self.history)] if self.history else {}

    @property
    def best(self) -> dict[str, float]:
        """Metrics (and step) at the lowest validation loss."""
        if not self.history:
            return {}
        step = min(self.history, key=lambda s: (self.history[s]["loss"], s))
        return {"step": float(step), **self.history[step]}

    def state_dict(self) -> dict[str, Any]:
        """Travels in the checkpoint."""
        return {"history": self.history}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Comes back from the checkpoint."""
        self.history = state_dict["history"]
