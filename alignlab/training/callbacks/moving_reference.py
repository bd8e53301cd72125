"""The callback of a reference that follows the policy.

TR-DPO (arXiv:2404.09656) and SAPO (arXiv:2405.20830) move it every so many steps, and the released code of MRPO
(arXiv:2405.16388) where a validation was the best so far.
"""

from typing import Any

import lightning as L
import torch
from torch import nn

from alignlab.training.callbacks.validation import Validation
from alignlab.training.settings import MovingSpec
from alignlab.training.strategies.shares import shares, together, whole_state


class MovingReference(L.Callback):
    """A callback that moves a live reference toward the policy after every n-th step, or to it where it was best.

    Its weights are saved in the checkpoint. It stands behind the validation, which so sees the reference that the step
    was trained with, and before the checkpoint.
    """

    def __init__(
        self, reference: nn.Module, policy: nn.Module, spec: MovingSpec, validation: Validation
    ) -> None:
        self.reference, self.policy, self.spec, self.validation = reference, policy, spec, validation
        self.decay = spec.ema_decay if spec.update == "ema" else 0.0

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *_: Any) -> None:
        """Move the reference if an update is due after this step."""
        if self._is_due(trainer.global_step):
            move(self.reference, self.policy, self.decay)

    def _is_due(self, step: int) -> bool:
        if self.spec.update != "best":
            return step % self.spec.every_n_steps == 0
        losses = {at: metrics["loss"] for at, metrics in self.validation.history.items() if 0 < at <= step}
        return step in losses and step == min(losses, key=lambda at: (losses[at], at))

    def state_dict(self) -> dict[str, Any]:
        """Return the reference's weights by name on the first rank, for the checkpoint."""
        return whole_state(self.reference) or {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the reference's weights from a checkpoint."""
        with torch.no_grad():
            for name, share in shares(self.reference).items():
                share.flat.copy_(share.of(state_dict[name]))


def following(
    spec: MovingSpec, reference: Any, policy: nn.Module, validation: Validation
) -> list[L.Callback]:
    """Return the callback that moves the reference, in a list; an empty list where the reference does not move."""
    return [] if spec.update == "none" else [MovingReference(reference, policy, spec, validation)]


@torch.no_grad()
def move(reference: nn.Module, policy: nn.Module, decay: float) -> None:
    """Set the reference to decay * reference + (1 - decay) * policy, in float32 at least; `decay=0` copies the policy.

    Either may be spread over ranks, in its own way; all of them must move it.
    """
    weights = shares(policy)
    for name, share in shares(reference).items():
        held, new = share.flat, share.of(together(weights[name])).to(share.flat.device)
        if decay == 0:
            held.copy_(new)
            continue
        wide = torch.promote_types(held.dtype, torch.float32)
        held.copy_(decay * held.to(wide) + (1 - decay) * new.to(wide))
