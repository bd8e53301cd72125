"""Converts the rows of a source and runs pipeline steps, checks every example, and reports every dropped row."""

import inspect
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from alignlab.data.reading.column_names import written
from alignlab.data.reading.noted_row import NotedRow
from alignlab.data.reading.raw import Raw
from alignlab.data.reading.rows import Convert, Drop, Dropped, Origin, RowError, answered, located, validate
from alignlab.data.steps import Step
from alignlab.errors import DataError, printable
from alignlab.own_code import name_of, named
from alignlab.types import Example


@dataclass
class Report:
    """Counts the rows in, out and dropped at each pipeline step, and lists the dropped rows with their reasons."""

    steps: dict[str, Counter[str]] = field(default_factory=dict)
    dropped: list[dict[str, Any]] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)
    """The number of rows that hold something in a column, or a key of a turn, which the source did not use."""

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
        return {
            "steps": {name: dict(counts) for name, counts in self.steps.items()},
            "dropped": self.dropped,
            "ignored": dict(self.ignored),
        }

    def add(self, account: Mapping[str, Any]) -> None:
        """Add another report, in the form that `to_json` returns."""
        for step, counts in account["steps"].items():
            self.steps.setdefault(step, Counter()).update(counts)
        self.dropped += account["dropped"]
        self.ignored.update(account["ignored"])

    def ignored_columns(self) -> str:
        """A sentence that names the columns which were not used, and the setting that says so; empty for none."""
        if not self.ignored:
            return ""
        named = ", ".join(
            f"{name or 'one without a name'} ({n} rows)" for name, n in sorted(self.ignored.items())
        )
        return f"ignored columns: {named}; if that is meant, say data.ignored={written(sorted(self.ignored))}"

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
            noted = row if isinstance(row, NotedRow) else NotedRow(row)
            examples = list(_converted(noted, convert, origin))
        except Drop as reason:
            report.drop("source", str(reason), row_id, origin)
        except RowError as error:
            if not skip_bad:
                raise located(error, origin, row_id) from error
            report.drop("source", f"bad row: {error}", row_id, origin)
        else:
            report.ignored.update(noted.unused())
            for example in examples:
                report.count("source", "out")
                name = example.id or f"{origin.file.removeprefix(root).lstrip('/')}:{origin.row}"
                uses[name] += 1
                yield replace(example, id=name if uses[name] == 1 else f"{name}#{uses[name]}")


def _converted(row: Any, convert: Convert, origin: Origin) -> Iterator[Example]:
    """The checked examples that a source makes of one raw row."""
    what = f"the source {name_of(convert)}, {origin.file}, row {origin.row}"
    with named(what, convert, (Drop, RowError)):
        result = convert(row)
        examples = [result] if isinstance(result, Example) else list(_rows(result, what))
    yield from (answered(validate(_example(example, what))) for example in examples)


def generated(source: Callable[..., Iterable[Example]], report: Report, **settings: Any) -> Iterator[Example]:
    """The checked examples of a source that generates its rows; DataError for an unsound one."""
    what = f"the source {name_of(source)}"
    for example in _told(what, source, lambda: source(**settings)):
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
            for result in _told(f"pipeline step '{name}', row {example.id}", step, partial(step, example)):
                yield _sound(result, name, report)
        except Drop as reason:
            report.drop(name, str(reason), example.id)


def transformed_together(
    examples: Sequence[Example], name: str, step: Step, report: Report
) -> Iterator[Example]:
    """The examples after a pipeline step that takes all examples of a split."""
    report.count(name, "in", len(examples))
    report.count(name, "out", 0)
    what = f"pipeline step '{name}'"
    for result in _told(what, step, partial(step, examples), (Example, Dropped)):
        if isinstance(result, Dropped):
            report.drop(name, result.reason, result.id)
        else:
            yield _sound(result, name, report)


def _told(
    what: str,
    function: Callable[..., Any],
    call: Callable[[], Any],
    kinds: tuple[type, ...] = (Example,),
) -> Iterator[Any]:
    """What a function of the pipeline yields when it is called; an exception of a user's own names its line."""
    with named(what, function, (Drop, RowError)):
        for result in _rows(call(), what):
            yield _example(result, what, kinds)


def _rows(made: Any, what: str) -> Iterable[Any]:
    """What a step or a source made, if one can go over it; DataError that says what to do instead."""
    if isinstance(made, (Example, Mapping)) or not isinstance(made, Iterable):
        raise DataError(
            f"{what} returned {type(made).__name__}: it must yield its rows, as in `yield example`"
        )
    return made


def _example(made: Any, what: str, kinds: tuple[type, ...] = (Example,)) -> Any:
    if not isinstance(made, kinds):
        raise DataError(
            f"{what} yielded {type(made).__name__}: expected {' or '.join(k.__name__ for k in kinds)}"
        )
    return made


def _sound(example: Example, name: str, report: Report) -> Example:
    try:
        sound = validate(example)
    except RowError as error:
        raise DataError(f"pipeline step '{name}' made an unsound row {example.id}: {error}") from error
    report.count(name, "out")
    return sound


def informative(example: Example) -> Iterator[Example]:
    """The last step of every pipeline: it drops lists that count and in which no response is better than another."""
    if example.weight and len(example.labels) > 1 and len(set(example.labels)) == 1:
        raise Drop("all responses have the same label")
    yield example


def _id(row: Mapping[str, Any]) -> str:
    """The id of a raw row, for messages."""
    peeked = row.raw if isinstance(row, NotedRow) else row
    names = [peeked[name] for name in ("id", "prompt_id") if peeked.get(name) is not None]
    return printable(str(names[0])) if names else ""


def takes_rows(source: Callable[..., Any]) -> bool:
    """Whether a source converts raw rows, for which it has a positional parameter, or generates its own examples."""
    kinds = [p.kind for p in inspect.signature(source).parameters.values()]
    return any(
        kind in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD) for kind in kinds
    )
