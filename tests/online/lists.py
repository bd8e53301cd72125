"""Lists of responses without a model, for tests of what becomes of them."""

from collections.abc import Sequence

import numpy as np

from alignlab.judges.judge import Judged
from alignlab.online.listed import Listed
from alignlab.sampling.rollout import Rollout


def listed(judged: Judged, finished: Sequence[bool] = (True,) * 4, row: str = "r") -> Listed:
    """A judged list of responses of one token."""
    count = len(finished)
    ids = tuple(np.array([k]) for k in range(count))
    logps = tuple(np.array([-1.0 / 3], dtype=np.float32) for _ in range(count))
    rollout = Rollout(row, np.array([1, 2]), ids, logps, tuple(finished), 0, "test")
    return Listed(rollout, 0, tuple(f"text {k}" for k in range(count)), judged)
