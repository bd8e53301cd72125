"""The stages that a recipe yields: each with a name, override strings, and the models it begins with."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PREVIOUS_JUDGE = "previous-stage"
"""The `judge.path` that stands for the model of the stage before."""


@dataclass(frozen=True)
class StageSpec:
    """The specification of one stage of a run.

    `init` is where its training starts, `reference` what it is compared with: `base` (the model and
    the reference of the run's own config), `previous` (the result of the stage before; in the first
    stage the same as base) or a model folder. `reference` may also be `ema`, the moving average of
    the policy itself.
    """

    name: str
    """The name within the folder of the stage, stages/NN-name; empty for the one stage of a plain run, which is the
    run.
    """
    overrides: tuple[str, ...] = ()
    """The overrides of the stage, as a person would type them; they follow those of the run."""
    init: str = "previous"
    reference: str = "previous"
    own_rows: bool = False
    """Whether the stage may train on no row that an earlier stage was trained on."""
    judged: bool = False
    """Whether the pipeline step `reward_margins` goes by the models of all stages before, where it names none."""
    collect: Mapping[str, Any] | None = None
    """A `_target_` with options that makes the stage's data from its model and prompts; None keeps the data."""
