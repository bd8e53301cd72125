"""Converts the rows of a source and runs pipeline steps, checks every example, and reports every dropped row."""

import inspect
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from alignlab.data.reading.raw import Raw
from alignlab.data.reading.rows import Convert, Drop, Dropped, Origin, RowError, located, validate
from alignlab.data.steps import Step
from alignlab.errors import DataError
from alignlab.types import Example


@dataclass
class Report:
    """Counts the rows in, out and dropped at each pipeline step, and lists the dropped rows with their reasons."""

    steps: dict[str, Counter[str]] = field(default_factory=dict)
    dropped: list[dict[str, Any]] = field(default_factory=list)

    def count(self, step: str, outcome: str, rows: int = 1) -> None:
        """Add rows to the counts of a pipeline step; `outcome` is in, out, or dropped with its reason."""
        self.steps.setdefault(step, Counter())[outcome] += rows

    def drop(self, step: str, reason: str, row_id: str, origin: Origin | None = None) -> None:
        """Count and list a row that a pipeline step dropped."""
        self.count(step, f"dropped: {reason}")
        place = {"file": origin.file, "row": origin.row} if origin else {}
        self.dropped.append({"step": step, "reason": reason, "id": row_id, **place})

    def to_json(self) -> dict[str, Any]:
        """The report as values that json can write."""
        return {"steps": {name: dict(counts) for name, counts in self.steps.items()}, "dropped": self.dropped}

    def add(self, account: Mapping[str, Any]) -> None:
        """Add another report, in the form that `to_json` returns."""
        for step, counts in account["steps"].items():
            self.steps.setdefault(step, Counter()).update(counts)
        self.dropped += account["dropped"]

    def lines(self) -> Iterator[str]:
        """One readable line for each pipeline step."""
        for step, counts in self.steps.items():
            reasons = ", ".join(
                f"{n} {outcome}" for outcome, n in counts.items() if outcome not in ("in", "out")
            )
            yield f"{step}: {counts['in']} rows in, {counts['out']} out" + (
                f" ({reasons})" if reasons else ""
            )


def converted(
    rows: Iterable[Raw], convert: Convert, report: Report, *, skip_bad: bool, root: str = ""
) -> Iterator[Example]:
    """Convert raw rows into validated examples; a bad row raises DataError, or is counted with `skip_bad`.

    An example without an id is named after its file, relative to `root`, and its row number; where several
    have the same id, all but the first get a number after it.
    """
    uses: Counter[str] = Counter()
    for origin, row in rows:
        report.count("source", "in")
        row_id = _id(row) if isinstance(row, Mapping) else ""
        try:
            if isinstance(row, RowError):
                raise row
            result = convert(row)
            examples = [
                validate(example) for example in ([result] if isinstance(result, Example) else result)
            ]
        except Drop as reason:
            report.drop("source", str(reason), row_id, origin)
        except RowError as error:
            if not skip_bad:
                raise located(error, origin, row_id) from error
            report.drop("source", f"bad row: {error}", row_id, origin)
        else:
            for example in examples:
                report.count("source", "out")
                name = example.id or f"{origin.file.removeprefix(root).lstrip('/')}:{origin.row}"
                uses[name] += 1
                yield replace(example, id=name if uses[name] == 1 else f"{name}#{uses[name]}")


def generated(examples: Iterable[Example], report: Report) -> Iterator[Example]:
    """The checked examples of a source that generates its rows; DataError for an unsound one."""
    for example in examples:
        report.count("source", "in")
        report.count("source", "out")
        try:
            yield validate(example)
        except RowError as error:
            raise DataError(f"the source made an unsound row {example.id}: {error}") from error


def transformed(examples: Iterable[Example], name: str, step: Step, report: Report) -> Iterator[Example]:
    """The examples after a pipeline step that takes one example at a time."""
    for example in examples:
        report.count(name, "in")
        try:
            for result in step(example):
                yield _sound(result, name, report)
        except Drop as reason:
            report.drop(name, str(reason), example.id)


def transformed_together(
    examples: Sequence[Example], name: str, step: Step, report: Report
) -> Iterator[Example]:
    """The examples after a pipeline step that takes all examples of a split."""
    report.count(name, "in", len(examples))
    report.count(name, "out", 0)
    for result in step(examples):
        if isinstance(result, Dropped):
            report.drop(name, result.reason, result.id)
        else:
            yield _sound(result, name, report)


def _sound(example: Example, name: str, report: Report) -> Example:
    try:
        sound = validate(example)
    except RowError as error:
        raise DataError(f"pipeline step '{name}' made an unsound row {example.id}: {error}") from error
    report.count(name, "out")
    return sound


def informative(example: Example) -> Iterator[Example]:
    """The last step of every pipeline: it drops lists in which no response is better than another."""
    if len(example.labels) > 1 and len(set(example.labels)) == 1:
        raise Drop("all responses have the same label")
    yield example


def _id(row: Mapping[str, Any]) -> str:
    names = [row[name] for name in ("id", "prompt_id") if row.get(name) is not None]
    return str(names[0]) if names else ""


def takes_rows(source: Callable[..., Any]) -> bool:
    """Whether a source converts raw rows, for which it has a positional parameter, or generates its own examples."""
    kinds = [p.kind for p in inspect.signature(source).parameters.values()]
    return any(
        kind in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD) for kind in kinds
    )
