"""Training steps for Lightning, from wherever the last checkpoint left off."""

from typing import Any

import lightning as L

from alignlab.data.batches import StepLoader
from alignlab.data.token_rows import TokenRows


class PreferenceData(L.LightningDataModule):
    """Optimizer steps over tokenized rows; on resume the loader starts at the step of the checkpoint."""

    def __init__(self, rows: TokenRows, *, steps: int, **order: Any) -> None:
        super().__init__()
        self.rows, self.steps, self.order, self.start = rows, steps, order, 0

    def train_dataloader(self) -> StepLoader:
        """The steps still to do."""
        return StepLoader(self.rows, steps=self.steps, start=self.start, **self.order)

    def state_dict(self) -> dict[str, Any]:
        """Where the checkpoint is."""
        return {"step": self.trainer.global_step if self.trainer else 0}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there."""
        self.start = state_dict["step"]
