"""Which data a run sees, as plain values and functions."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from alignlab.data.steps import Step

SPLITS = ("train", "validation")


@dataclass(frozen=True)
class DataSpec:
    """Everything that decides which examples a run sees; conf/data/knobs.yaml says what each means."""

    name: str
    source: Callable[..., Any] | None = None
    form: str | None = None
    steps: Mapping[str, Step] = field(default_factory=dict)
    path: str | None = None
    hub: Mapping[str, Any] | None = None
    parts: Mapping[str, "DataSpec"] = field(default_factory=dict)
    """The sources of a mixture by name; `mix` is the step that mixes them."""
    mix: Step | None = None
    group_by: str | None = None
    """Rows that follow each other with one value in this column come to the source as one."""
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
        """Most examples of a split."""
        return self.limit if split == "train" else self.limit_validation
