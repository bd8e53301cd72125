"""A reference that follows the policy: TR-DPO (arXiv:2404.09656), SAPO (arXiv:2405.20830)."""

from typing import Any

import lightning as L
import torch
from torch import nn

from alignlab.training.settings import MovingSpec
from alignlab.training.strategies.shares import shares, together, whole_state


class MovingReference(L.Callback):
    """Moves a live reference towards the policy after every n-th optimizer step; it travels in the checkpoint.

    Stands behind the validation, which so sees the reference that the step was trained with, and
    before the checkpoint.
    """

    def __init__(self, reference: nn.Module, policy: nn.Module, spec: MovingSpec) -> None:
        self.reference, self.policy, self.spec = reference, policy, spec
        self.decay = spec.ema_decay if spec.update == "ema" else 0.0

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *_: Any) -> None:
        """Update where it is due."""
        if trainer.global_step % self.spec.every_n_steps == 0:
            move(self.reference, self.policy, self.decay)

    def state_dict(self) -> dict[str, Any]:
        """Travels in the checkpoint: weights by name, of the first rank."""
        return whole_state(self.reference) or {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Comes back from the checkpoint."""
        with torch.no_grad():
            for name, share in shares(self.reference).items():
                share.flat.copy_(share.of(state_dict[name]))


def following(spec: MovingSpec, reference: Any, policy: nn.Module) -> list[L.Callback]:
    """The callback of a live reference that follows the policy, if this one does."""
    return [] if spec.update == "none" else [MovingReference(reference, policy, spec)]


@torch.no_grad()
def move(reference: nn.Module, policy: nn.Module, decay: float) -> None:
    """reference := decay * reference + (1 - decay) * policy, computed in float32 at least; `decay=0` copies.

    Either may be spread over ranks, in its own way; all of them must move it.
    """
    weights = shares(policy)
    for name, share in shares(reference).items():
        kept, new = share.flat, share.of(together(weights[name])).to(share.flat.device)
        if decay == 0:
            kept.copy_(new)
            continue
        wide = torch.promote_types(kept.dtype, torch.float32)
        kept.copy_(decay * kept.to(wide) + (1 - decay) * new.to(wide))
