"""The callback that keeps what a judge has learned in the checkpoints."""

from typing import Any

import lightning as L

from alignlab import ranks
from alignlab.judges.judge import Learner


class JudgeState(L.Callback):
    """A callback by which a judge that learns, on the first rank, goes on from the checkpoint that the policy has."""

    def __init__(self, judge: Learner) -> None:
        self.judge = judge

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the judge, for the checkpoint."""
        return self.judge.state_dict() if ranks.main() else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Give the judge its state of a checkpoint."""
        if ranks.main():
            self.judge.load_state_dict(state_dict)
