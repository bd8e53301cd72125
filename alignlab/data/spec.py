"""The settings that decide which data a run sees, as plain values and functions: the schema of conf/data."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from alignlab.settings import NOT_EMPTY, Elsewhere, Place, Positive, Scale, Seed, Share, Text, whole

SPLITS = ("train", "validation")


@dataclass(frozen=True)
class Hub:
    """The schema of `data.hub`: a data set on the hub."""

    path: Text
    revision: Text
    splits: Mapping[str, Text | None]
    """The split, or the file, that is read for each split of the run; None where the source has none."""


@dataclass(frozen=True)
class DataSpec:
    """The settings that decide which examples a run sees; conf/data/knobs.yaml explains each."""

    name: Text
    source: Callable[..., Any] | None = None
    form: Literal["lists", "pairs", "single"] | None = None
    """What its rows are at the least: rated lists, pairs, or single responses; None where the rows tell."""
    steps: Annotated[Mapping[str, Callable[..., Any]], Elsewhere()] = field(default_factory=dict)
    path: Place | list[Place] | None = None
    split: Text | list[Text] | Mapping[str, Any] | None = None
    """The splits that are read, where they are not those that names tell: see `data/reading/splits.py`."""
    hub: Mapping[str, Any] | None = None
    parts: Mapping[str, "DataSpec"] = field(default_factory=dict)
    """The sources of a mixture, by name; empty for data of one source."""
    mix: Callable[..., Any] | None = None
    """The pipeline step on tokens that mixes the `parts`."""
    group_by: Text | None = None
    """The column by which neighbouring raw rows are joined into one before the source converts them."""
    columns: Mapping[str, str] | None = None
    """The columns of the file that stand for those that the source knows, by the names of the source."""
    ignored: list[str] = field(default_factory=list)
    """The columns that are left out, without a word in the log."""
    scale: Scale | Literal["minmax", "keep"] | None = None
    """The scale that labels are on, which is mapped to [0, 1]: its ends, or `minmax` for their range in the training
    rows. `keep` leaves labels as they are, whatever the objective takes; None refuses those that it does not take."""
    on_bad_row: Literal["raise", "skip"] = "raise"
    validation_fraction: Share | None = 0.05
    limit: Positive | None = None
    limit_validation: Positive | None = 256
    limit_at: Literal["start", "end"] = "end"
    """Whether the limits count the rows of the source, or those that the pipeline leaves, or makes, of them."""
    limit_choose: Literal["random", "first"] = "random"
    """Which rows a limit keeps: drawn by a hash of their ids, or the first."""
    limit_seed: Seed = 0
    """The seed of that draw: one for all seeds of a run, which so see the same rows."""
    max_length: Positive = 1024
    max_prompt_length: Positive | None = None
    min_response_length: Positive = 32
    lists_per_step: Positive = 16
    microbatch_tokens: Positive = 16384
    shuffle: bool | Literal["auto"] = "auto"
    shuffle_seed: Seed | None = None
    """The seed of the order of rows; None: that of the run."""
    special_tokens: Literal["text", "special"] = "text"
    """How special tokens that texts hold are read: as the letters they are made of, or as the tokens themselves."""
    step_delimiter: Annotated[str, NOT_EMPTY] = "\n"
    processes: Annotated[int, whole(1, 1024)] | None = None
    title: str | None = None
    """What the data are, in a sentence; the model card has it, and the licence."""
    licence: str | None = None
    """Its SPDX identifier, or in words; None where none is stated."""
    paper: str | None = None
    """The arXiv number of the paper that describes them."""

    @property
    def rescaled(self) -> bool:
        """Whether `scale` says anything of the labels, here or in a part of a mixture."""
        return self.scale is not None or any(part.rescaled for part in self.parts.values())

    def limit_of(self, split: str) -> int | None:
        """The largest number of examples of a split; None for no limit."""
        return self.limit if split == "train" else self.limit_validation

    def last_limit_of(self, split: str) -> int | None:
        """The largest number of examples of a split behind its pipeline; None for no limit there."""
        return self.limit_of(split) if self.limit_at == "end" else None

    @property
    def limit_options(self) -> dict[str, Any]:
        """How limits choose the rows that they keep: the options of `data/transforms/limit.py`."""
        return {"choose": self.limit_choose, "seed": self.limit_seed}
