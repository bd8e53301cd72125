"""What a recipe yields: stages, each with a name, override strings, and the models it begins with."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class StageSpec:
    """One stage of a run.

    `init` is where its training starts, `reference` what it is compared with: `base` (the model and
    the reference of the run's own config), `previous` (the result of the stage before; in the first
    stage the same as base) or a model folder. `reference` may also be `ema`, the moving average of
    the policy itself.
    """

    name: str
    """Part of its folder's name, stages/NN-name. The one stage of a plain run has none: it is the run."""
    overrides: tuple[str, ...] = ()
    """As a person would type them, after those of the run."""
    init: str = "previous"
    reference: str = "previous"
    own_rows: bool = False
    """Its rows may not have been trained on in a stage before."""
    collect: Mapping[str, Any] | None = None
    """A `_target_` with options that makes the stage's data from its model and prompts."""
