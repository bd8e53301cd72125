"""The settings that decide which data a run sees, as plain values and functions."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from alignlab.data.steps import Step

SPLITS = ("train", "validation")


@dataclass(frozen=True)
class DataSpec:
    """The settings that decide which examples a run sees; conf/data/knobs.yaml explains each."""

    name: str
    source: Callable[..., Any] | None = None
    form: str | None = None
    steps: Mapping[str, Step] = field(default_factory=dict)
    path: str | None = None
    hub: Mapping[str, Any] | None = None
    parts: Mapping[str, "DataSpec"] = field(default_factory=dict)
    """The sources of a mixture, by name; empty for data of one source."""
    mix: Step | None = None
    """The pipeline step on tokens that mixes the `parts`."""
    group_by: str | None = None
    """The column by which neighbouring raw rows are joined into one before the source converts them."""
    on_bad_row: str = "raise"
    validation_fraction: float | None = 0.05
    limit: int | None = None
    limit_validation: int | None = 256
    max_length: int = 1024
    max_prompt_length: int | None = None
    min_response_length: int = 32
    lists_per_step: int = 16
    microbatch_tokens: int = 16384
    shuffle: bool | Literal["auto"] = "auto"
    step_delimiter: str = "\n"
    processes: int | None = None
    title: str | None = None
    licence: str | None = None
    paper: str | None = None

    def limit_of(self, split: str) -> int | None:
        """The largest number of examples of a split; None for no limit."""
        return self.limit if split == "train" else self.limit_validation
