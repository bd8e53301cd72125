"""Compares kept scores of the reference with what the policy, which starts as that model, gives for random rows."""

import lightning as L
import numpy as np
import torch
from numpy.typing import NDArray

from alignlab import ranks
from alignlab.data.batching.batches import collate
from alignlab.data.encoding.token_rows import TokenRows
from alignlab.errors import RunError
from alignlab.policies.policy import NO_REFERENCES
from alignlab.policies.scorer import Opaque
from alignlab.signals import BASE, REFERENCE, provided_by
from alignlab.training.module import PreferenceModule, cached, data_signals
from alignlab.training.rails import Tolerance, check_start

ROWS = 24
"""The number of training rows that are scored again; a third as many of the validation rows."""


class SameScores(L.Callback):
    """Scores random rows again before the first step, each alone as the pass of the reference scored them.

    The numbers are then those of the pass but for the kernels of an engine, in any precision. The rows of the first
    step are compared in it, since it scores them anyway.
    """

    def __init__(
        self, splits: tuple[TokenRows, TokenRows], tolerance: Tolerance, visited: NDArray[np.int64], seed: int
    ) -> None:
        self.splits, self.tolerance, (_, validation) = splits, tolerance, splits
        random = np.random.default_rng(seed)
        self.picks = (
            random.choice(visited, min(ROWS, len(visited)), replace=False).tolist(),
            random.choice(len(validation), min(ROWS // 3, len(validation)), replace=False).tolist(),
        )

    @torch.no_grad()
    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Compare, unless a continued run has moved the policy; raises RunError, on all ranks, where scores differ."""
        assert isinstance(module, PreferenceModule)
        if trainer.global_step:
            return
        with trainer.precision_plugin.forward_context():
            faults = ranks.gathered(self._fault(module))
        if told := next(filter(None, faults), ""):
            raise RunError(told)

    def _fault(self, module: PreferenceModule) -> str:
        """Return what is wrong with the rows of this rank; every rank scores as many."""
        fault = ""
        for rows, picks in zip(self.splits, self.picks, strict=True):
            for place in range(0, len(picks), ranks.world()):
                own = picks[min(place + ranks.rank(), len(picks) - 1)]
                batch = collate(rows, [own]).to(module.device)
                asked = {BASE[name].own for name in provided_by(batch.cached, REFERENCE)}
                scored = module.scorer(Opaque(batch), Opaque(*NO_REFERENCES), asked)
                known = data_signals(batch, torch.float64) | cached(batch, torch.float64)
                try:
                    check_start({**known, **scored}, batch.ids, self.tolerance)
                except RunError as error:
                    fault = fault or str(error)
        return fault
