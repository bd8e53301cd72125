"""Small runs on this process's ranks, and what they come to."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from alignlab import ranks
from alignlab.assembly.build import call, make_optimizer
from alignlab.objective.load import read_choice
from alignlab.runs.folder import RunFolder
from alignlab.training.stage import run_stage
from tests.training.small import ADAMW, CONSTANT, small_stage

SMOOTH = {**ADAMW, "eps": 1e-3, "fused": True}
"""AdamW whose steps do not blow up rounding of gradients that are nearly zero."""


@dataclass(frozen=True)
class Run:
    """A small stage in a folder, by the names of engine and objective; one that is there already goes on."""

    folder: str
    engine: str | None = None
    objective: str = "dpo"
    steps: int = 3
    options: Mapping[str, Any] = field(default_factory=dict)
    """Of the engine."""
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Of the stage, see `small_stage`."""


@dataclass(frozen=True)
class Outcome:
    losses: Sequence[float]
    """By step, of all that was trained in the folder."""
    weights: Mapping[str, Tensor]

    def gap(self, other: "Outcome") -> float:
        """The largest difference of two weights."""
        assert self.weights.keys() == other.weights.keys()
        return max((mine - other.weights[name]).abs().max().item() for name, mine in self.weights.items())


def run_all(base: Path, runs: Sequence[Run]) -> dict[str, Outcome] | None:
    """Rank 0: what each run came to, by folder."""
    outcomes = {run.folder: _outcome(base, run) for run in runs}
    return outcomes if ranks.main() else None


def _outcome(base: Path, run: Run) -> Outcome:
    folder = RunFolder(base / run.folder, writes=ranks.main())
    changes = dict(run.changes)
    if run.engine is not None:
        node = {**read_choice("strategy", run.engine)["engine"], **run.options}
        changes["engine"] = call(node, "strategy.engine")()
    trainer = {"max_steps": run.steps, "devices": ranks.world(), **changes.pop("trainer", {})}
    optimizer = partial(make_optimizer, SMOOTH, CONSTANT)
    stage = small_stage(
        folder.path, run.objective, trainer=trainer, **{"make_optimizer": optimizer, **changes}
    )
    model = run_stage(stage, folder).model
    rows = csv.DictReader(folder.metrics.read_text(encoding="utf-8").splitlines())
    losses = [float(row["train/loss"]) for row in rows if row.get("train/loss")]
    return Outcome(losses, {name: weight.detach().clone() for name, weight in model.named_parameters()})
