"""The callback that reports what was drawn, and tells of a policy that collapses."""

import logging
import statistics
from typing import Any

import lightning as L

from alignlab import ranks
from alignlab.online.steps import OnlineSteps
from alignlab.training.module import PreferenceModule

log = logging.getLogger(__name__)

WINDOW = 5
"""The number of draws that are compared: the first ones, and the latest."""
COLLAPSED = {
    "distinct_2": (0.35, "pairs of neighbouring words that differ among the responses of a step"),
    "finished": (0.5, "responses that come to their end"),
}
"""The share of its first value below which a measure is told, and what it measures."""


class OnlineLog(L.Callback):
    """A callback that reports `online/...` after each step, and warns once where variety or ends are lost.

    `online/kl` is the mean log-ratio to the reference of the responses that the policy drew, in nats: an estimate of
    the KL divergence where the policy that trains is the one that drew.
    """

    def __init__(self, steps: OnlineSteps) -> None:
        self.steps = steps
        self.first: dict[str, list[float]] = {}
        self.latest: dict[str, list[float]] = {}
        self.told: list[str] = []

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *_: Any) -> None:
        """Report what the lists of the step are like."""
        assert isinstance(module, PreferenceModule)
        measured = dict(self.steps.measured)
        names = ("own_logratio", "logratio") if self.steps.of_policy else ("kl_sampled",)
        if found := [module.latest_step[name] for name in names if name in module.latest_step]:
            measured["kl"] = found[0]
        module.report("online", measured)
        if ranks.main() and measured.keys() >= COLLAPSED.keys():
            self._heed(measured)

    def _heed(self, measured: dict[str, float]) -> None:
        for name, (share, what) in COLLAPSED.items():
            first, latest = self.first.setdefault(name, []), self.latest.setdefault(name, [])
            if len(first) < WINDOW:
                first.append(measured[name])
                continue
            latest[:] = [*latest, measured[name]][-WINDOW:]
            before, now = statistics.fmean(first), statistics.fmean(latest)
            if len(latest) == WINDOW and now < share * before and name not in self.told:
                self.told.append(name)
                log.warning(
                    "the policy may be collapsing: the share of %s fell from %.3f to %.3f; a larger beta, a smaller "
                    "optimizer.lr, or online.unfinished=subtract hold it",
                    what,
                    before,
                    now,
                )

    def state_dict(self) -> dict[str, Any]:
        """Return what was measured, for the checkpoint."""
        return {"first": self.first, "latest": self.latest, "told": self.told}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take what was measured before from a checkpoint."""
        self.first, self.latest = state_dict["first"], state_dict["latest"]
        self.told = state_dict["told"]
