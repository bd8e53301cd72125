"""Examples of a run: source, validation, pipeline, and the split into training and validation."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from alignlab.data import files, hub_rows
from alignlab.data.examples import (
    Report,
    Step,
    converted,
    generated,
    informative,
    takes_rows,
    transformed,
)
from alignlab.errors import ConfigError, DataError
from alignlab.types import Example

SPLITS = ("train", "validation")


@dataclass(frozen=True)
class DataSpec:
    """Everything that decides which examples a run sees; conf/data/knobs.yaml says what each means."""

    name: str
    source: Callable[..., Any]
    form: str | None = None
    steps: Mapping[str, Step] = field(default_factory=dict)
    path: str | None = None
    hub: Mapping[str, Any] | None = None
    on_bad_row: str = "raise"
    validation_fraction: float | None = 0.05
    limit: int | None = None
    limit_validation: int | None = 256
    max_length: int = 1024
    max_prompt_length: int | None = None
    min_response_length: int = 32
    lists_per_step: int = 16
    microbatch_tokens: int = 16384
    shuffle: bool = True
    step_delimiter: str = "\n"

    def limit_of(self, split: str) -> int | None:
        """Most examples of a split."""
        return self.limit if split == "train" else self.limit_validation


@dataclass(frozen=True)
class Examples:
    """Text rows of both splits, with the account of how they came about."""

    train: list[Example]
    validation: list[Example]
    report: Report

    def largest(self) -> int:
        """Responses of the longest list."""
        return max((len(example.labels) for example in [*self.train, *self.validation]), default=0)


def load_examples(spec: DataSpec) -> Examples:
    """Read, check and transform both splits. A source without a validation split is divided by prompt.

    Raises DataError on bad rows, missing files, an unreachable hub, or when nothing is left.
    """
    report = Report()
    if not takes_rows(spec.source):
        splits = {split: generated(_made(spec, split), report) for split in SPLITS}
    else:
        splits = _read_splits(spec, report)
    kept = {
        split: list(islice(_piped(rows, spec, report), spec.limit_of(split)))
        for split, rows in splits.items()
    }
    for split, rows in kept.items():
        if not rows:
            raise DataError(
                f"data '{spec.name}' has no {split} rows left after its pipeline: "
                + "; ".join(report.lines())
            )
    return Examples(kept["train"], kept["validation"], report)


def _piped(rows: Iterable[Example], spec: DataSpec, report: Report) -> Iterator[Example]:
    for name, step in spec.steps.items():
        rows = transformed(rows, name, step, report)
    return informative(rows, report)


def _made(spec: DataSpec, split: str) -> Iterable[Example]:
    size = spec.limit_of(split)
    if size is None:
        raise ConfigError(
            f"data '{spec.name}' makes its own rows: say how many (data.limit, data.limit_validation)"
        )
    return spec.source(split=split, size=size)


def _read_splits(spec: DataSpec, report: Report) -> dict[str, Iterator[Example]]:
    def read(raw: Iterable[files.Raw]) -> Iterator[Example]:
        return converted(raw, spec.source, report, skip_bad=spec.on_bad_row == "skip")

    if spec.path is None:
        if spec.hub is None:
            raise DataError(f"data '{spec.name}' is read from files: set data.path=/my/file-or-folder")
        named = [split for split in SPLITS if spec.hub["splits"].get(split)]
        raw = {split: hub_rows.rows(spec.hub, split) for split in named}
    else:
        found = files.data_files(spec.path)
        names = spec.hub["splits"] if spec.hub else {}
        chosen = {split: files.split_files(found, split, names.get(split)) for split in SPLITS}
        chosen["validation"] = [file for file in chosen["validation"] if file not in chosen["train"]]
        raw = {split: files.read(group) for split, group in chosen.items() if group}
        raw = raw if "train" in raw else {"train": files.read(found)}
    if "validation" in raw:
        return {split: read(raw[split]) for split in SPLITS}
    return _divided(read(raw["train"]), spec.validation_fraction)


def _divided(examples: Iterable[Example], fraction: float | None) -> dict[str, Iterator[Example]]:
    """A share of all prompts for validation, chosen by a hash of the prompt: none is on both sides.

    Without a share (None) both sides are all rows.
    """
    if fraction is None:
        rows = list(examples)
        return {split: iter(rows) for split in SPLITS}
    sides: dict[str, list[Example]] = {split: [] for split in SPLITS}
    for example in examples:
        text = "\n".join(f"{m['role']}: {m['content']}" for m in example.prompt)
        share = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64
        sides["validation" if share < fraction else "train"].append(example)
    if not sides["validation"] and len(sides["train"]) > 1:
        prompt = sides["train"][-1].prompt
        sides["validation"] = [e for e in sides["train"] if e.prompt == prompt]
        sides["train"] = [e for e in sides["train"] if e.prompt != prompt]
    return {split: iter(rows) for split, rows in sides.items()}
