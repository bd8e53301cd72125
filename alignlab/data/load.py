"""Loads the examples of a run: reads the source, checks every row, divides the splits and runs the pipeline."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from pathlib import Path

from alignlab.console import warn_once
from alignlab.data.label_scale import on_scale, tell_lone_ratings
from alignlab.data.makers import SOURCE, Trail, last, tell_kept
from alignlab.data.pipeline import VERSION, passed, piped, stored
from alignlab.data.reading.examples import Report, informative
from alignlab.data.reading.source_rows import source_rows
from alignlab.data.spec import SPLITS, DataSpec
from alignlab.data.steps import Step, text_and_token_steps
from alignlab.data.tables.identity import digest, identity
from alignlab.data.tables.table import ExampleTable, Subset
from alignlab.data.transforms.limit import kept, limit
from alignlab.data.transforms.split import apart, prompt_key, split
from alignlab.errors import DataError
from alignlab.own_code import unwrapped
from alignlab.types import Example

LIMIT = "data.limit"
"""The step, in reports, that keeps no more rows than the limits of the data allow."""
Tables = dict[str, ExampleTable]
"""The rows of each split, by its name."""


@dataclass(frozen=True)
class Examples:
    """The text rows of both splits, the pipeline steps to run after tokenizing, and the report of dropped rows."""

    train: ExampleTable
    validation: ExampleTable
    report: Report
    token_steps: Mapping[str, Step] = field(default_factory=dict)
    trails: Mapping[str, Trail] = field(default_factory=dict)
    """The rows of each split before the pipeline, and after each of its steps on text."""

    @property
    def divided(self) -> dict[str, ExampleTable]:
        """The rows of each split before the pipeline."""
        return {split: trail[SOURCE] for split, trail in self.trails.items()}

    def largest(self) -> int:
        """The number of responses of the longest list of both splits."""
        return max(int(table.sizes.max(initial=0)) for table in (self.train, self.validation))


def load_examples(spec: DataSpec, cache_dir: Path, *, ties: bool = False) -> Examples:
    """Read, check and transform both splits. A source without a validation split is divided by prompt.

    Lists in which no response is better are left out, unless `ties` keeps them for somebody who will judge them.

    The result of every pipeline step is stored below `cache_dir`, so that only a changed step and those after it run
    again.
    Raises DataError on bad rows, missing files, an unreachable hub, or when nothing is left.
    """
    report, tables = Report(), {}
    text, tokens = text_and_token_steps(spec.steps)
    if spec.limit_at == "start":
        first = partial(limit, rows=spec.limit, validation_rows=spec.limit_validation, **spec.limit_options)
        text = {LIMIT: first, **text}
    if spec.mix:
        tokens = {"mix": spec.mix, **tokens}
    sides = on_scale(spec, divided(spec, cache_dir, report), cache_dir, report)
    if unused := report.ignored_columns():
        warn_once(unused)
    trails = {
        name: _trail(
            spec, text if ties else {**text, "preference": informative}, rows, name, cache_dir, report
        )
        for name, rows in sides.items()
    }
    for name, trail in trails.items():
        table = last(trail)
        if not len(table):
            raise DataError(
                f"data '{spec.name}' has no {name} rows left after its pipeline: "
                + ("; ".join(report.lines()) or f"no row was read from {spec.path or spec.name}")
            )
        tables[name] = table if tokens else limited(spec, name, trail, cache_dir, report)
    tell_lone_ratings(spec, tables["train"])
    return Examples(tables["train"], tables["validation"], report, tokens, trails)


def _trail(
    spec: DataSpec, steps: Mapping[str, Step], rows: ExampleTable, split: str, cache_dir: Path, report: Report
) -> Trail:
    """The rows of a split before and after each of these steps."""
    trail = passed(rows, steps, split, cache_dir, report, spec.processes)
    for (_, before), (name, after) in pairwise(trail.items()):
        if unwrapped(steps[name]) is limit and len(after) < len(before):
            tell_kept(name, trail, before.ids, after.ids, report)
    return trail


def limited(spec: DataSpec, split: str, trail: Trail, cache_dir: Path, report: Report) -> ExampleTable:
    """The rows of a split at the end of its trail that its limit keeps; the report counts the cut."""
    table, most = last(trail), spec.last_limit_of(split)
    if most is None or most >= len(table):
        return table
    places = kept(table.ids, most, **spec.limit_options)

    def make(account: Report) -> Subset:
        account.count(LIMIT, "in", len(table))
        account.count(LIMIT, "out", most)
        return Subset(table, places)

    key = digest(VERSION, table.fingerprint, identity(partial(kept, most=most, **spec.limit_options)))
    rows = stored(cache_dir, key, make, report, LIMIT, most)
    tell_kept(LIMIT, trail, table.ids, rows.ids, report)
    return rows


def divided(spec: DataSpec, cache_dir: Path, report: Report) -> Tables:
    """The source rows of the training and the validation split, which share no prompt.

    Where `validation_fraction` is None, all rows are in both splits.
    """
    tables = _joined(spec, cache_dir, report) if spec.parts else source_rows(spec, cache_dir, report)
    if "validation" in tables:
        others: dict[str, Step] = {"apart": partial(apart, others=tables["train"])}
        tables["validation"] = piped(
            tables["validation"], others, "validation", cache_dir, report, spec.processes
        )
        return tables
    halves: dict[str, Step] = {}
    if spec.validation_fraction is not None and "split" not in spec.steps:
        halves = {"split": partial(split, validation=spec.validation_fraction)}
    sides = {
        name: piped(tables["train"], halves, name, cache_dir, Report(), spec.processes) for name in SPLITS
    }
    _require_both(sides, len(tables["train"]), spec)
    return sides


def _require_both(sides: Tables, rows: int, spec: DataSpec) -> None:
    """Raise DataError where all rows fall on one side, as those of a single prompt do."""
    empty = [name for name, table in sides.items() if not len(table)]
    if rows and empty:
        (other,) = {*SPLITS} - {*empty}
        prompts = len({prompt_key(example) for example in sides[other]})
        raise DataError(
            f"data '{spec.name}': no {empty[0]} rows: its {rows} rows have {prompts} prompt{'s' * (prompts > 1)} "
            "in all, and rows of one prompt stay on one side. Add rows of other prompts or a validation file, or "
            "validate on training rows with data.validation_fraction=null"
        )


def _joined(spec: DataSpec, cache_dir: Path, report: Report) -> Tables:
    """The rows of all parts of a mixture; ids and meta["part"] name the part that each row is from."""
    sides = {
        name: on_scale(part, divided(part, cache_dir, report), cache_dir, report)
        for name, part in spec.parts.items()
    }
    tables = {}
    for split_ in SPLITS:
        rows = {name: side[split_] for name, side in sides.items()}
        key = digest("mixture", {name: table.fingerprint for name, table in rows.items()})
        tables[split_] = stored(cache_dir, key, partial(_named, rows), report, "mixture")
    return tables


def _named(parts: Mapping[str, ExampleTable], _: Report) -> Iterator[Example]:
    for name, rows in parts.items():
        for example in rows:
            meta = {**example.meta, "part": name, "source": example.meta.get("source") or name}
            yield replace(example, id=f"{name}/{example.id}", meta=meta)
