"""Rows of a source, checked one by one, and of a pipeline step, with an account of every row."""

import inspect
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from alignlab.data.reading.files import Raw
from alignlab.data.reading.rows import Convert, Drop, Dropped, Origin, RowError, located, validate
from alignlab.data.steps import Step
from alignlab.errors import DataError
from alignlab.types import Example


@dataclass
class Report:
    """Rows in, out and dropped of each step, and which rows were dropped why."""

    steps: dict[str, Counter[str]] = field(default_factory=dict)
    dropped: list[dict[str, Any]] = field(default_factory=list)

    def count(self, step: str, what: str, rows: int = 1) -> None:
        """Add rows to a step's account."""
        self.steps.setdefault(step, Counter())[what] += rows

    def drop(self, step: str, reason: str, row_id: str, origin: Origin | None = None) -> None:
        """Put a dropped row on record."""
        self.count(step, f"dropped: {reason}")
        place = {"file": origin.file, "row": origin.row} if origin else {}
        self.dropped.append({"step": step, "reason": reason, "id": row_id, **place})

    def to_json(self) -> dict[str, Any]:
        """The account in a form that json can write."""
        return {"steps": {name: dict(counts) for name, counts in self.steps.items()}, "dropped": self.dropped}

    def add(self, told: Mapping[str, Any]) -> None:
        """Add an account that `to_json` gave."""
        for step, counts in told["steps"].items():
            self.steps.setdefault(step, Counter()).update(counts)
        self.dropped += told["dropped"]

    def lines(self) -> Iterator[str]:
        """One readable line a step."""
        for step, counts in self.steps.items():
            reasons = ", ".join(f"{n} {what}" for what, n in counts.items() if what not in ("in", "out"))
            yield f"{step}: {counts['in']} rows in, {counts['out']} out" + (
                f" ({reasons})" if reasons else ""
            )


def converted(
    rows: Iterable[Raw], convert: Convert, report: Report, *, skip_bad: bool, root: str = ""
) -> Iterator[Example]:
    """Raw rows as validated examples. Bad rows raise DataError, or are counted where `skip_bad`.

    A row without an id is named after its file, below `root`, and its number there; of rows with one id
    all but the first get a number behind it.
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
    """Examples of a source that makes its own rows."""
    for example in examples:
        report.count("source", "in")
        report.count("source", "out")
        try:
            yield validate(example)
        except RowError as error:
            raise DataError(f"the source made an unsound row {example.id}: {error}") from error


def transformed(examples: Iterable[Example], name: str, step: Step, report: Report) -> Iterator[Example]:
    """Examples after one pipeline step."""
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
    """Examples after a pipeline step that looks at all of them."""
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
    """The last step of every pipeline: lists in which no response is better than another carry no preference."""
    if len(example.labels) > 1 and len(set(example.labels)) == 1:
        raise Drop("all responses have the same label")
    yield example


def _id(row: Mapping[str, Any]) -> str:
    names = [row[name] for name in ("id", "prompt_id") if row.get(name) is not None]
    return str(names[0]) if names else ""


def takes_rows(source: Callable[..., Any]) -> bool:
    """Whether a source converts raw rows (it has a positional parameter) or makes its own examples."""
    kinds = [p.kind for p in inspect.signature(source).parameters.values()]
    return any(
        kind in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD) for kind in kinds
    )
