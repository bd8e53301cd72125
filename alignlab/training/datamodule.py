"""Training steps for Lightning, from wherever the last checkpoint left off."""

from collections.abc import Iterator
from typing import Any, Protocol, runtime_checkable

import lightning as L
import torch

from alignlab.data.batching.batches import Step
from alignlab.types import Batch


@runtime_checkable
class Steps(Protocol):
    """The optimizer steps of a run, of rows that are there before it or that it draws; they can start at any one."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Step]: ...

    def at(self, step: int) -> "Steps":
        """Return these steps from another one on."""

    def largest(self) -> Batch:
        """Return the largest micro-batch that there could be."""


class Sealed:
    """The micro-batches of a step in a form that Lightning moves as one, and takes nothing out of.

    It would otherwise convert every tensor to the precision of the weights, and fail on frozen
    dataclasses; signals are converted where they are made.
    """

    def __init__(self, step: Step) -> None:
        self.step = step

    def to(self, device: torch.device) -> "Sealed":
        """Return the micro-batches of this optimizer step on another device."""
        return Sealed([batch.to(device) for batch in self.step])


class SealedSteps:
    """The steps of a loader, each sealed."""

    def __init__(self, loader: Steps) -> None:
        self.loader = loader

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Sealed]:
        return map(Sealed, self.loader)

    def state_dict(self) -> dict[str, int]:
        """Nothing to keep: the trainer's step count says where to start."""
        return {}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Nothing to restore; see `state_dict`."""


class PreferenceData(L.LightningDataModule):
    """The optimizer steps of a loader; on resume they start at the step of the checkpoint."""

    def __init__(self, loader: Steps) -> None:
        super().__init__()
        self.loader = loader

    def train_dataloader(self) -> SealedSteps:
        """The steps still to do."""
        return SealedSteps(self.loader)

    def state_dict(self) -> dict[str, Any]:
        """The number of optimizer steps done, for the checkpoint."""
        return {"step": self.trainer.global_step if self.trainer else 0}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Start at the step of the checkpoint."""
        self.loader = self.loader.at(state_dict["step"])
