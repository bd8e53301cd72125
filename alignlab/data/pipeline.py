"""Runs the pipeline steps over text rows, and stores each result under the fingerprint of all that decides it."""

import json
import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from alignlab.cache import entry
from alignlab.console import tracked
from alignlab.data.makers import SOURCE, Trail, last
from alignlab.data.reading.examples import Report, transformed, transformed_together
from alignlab.data.steps import Step, folders_of, for_split, kind_of
from alignlab.data.tables.identity import digest, identity
from alignlab.data.tables.table import ExampleTable, chunks, write_table
from alignlab.file_digests import file_digest
from alignlab.types import Example

VERSION = "4"
"""A part of every fingerprint: raise it when the form of the stored files changes."""
REPORT = "report.json"
MANY = 50_000
"""The number of rows from which on several processes are faster than one."""
SHARE = 1024
"""The number of rows that a process takes at once."""

Make = Callable[[Report], Iterable[Example]]
"""A function that yields rows, and records on the report those that it leaves out."""


def stored(folder: Path, key: str, make: Make, report: Report, title: str, total: int = 0) -> ExampleTable:
    """Load the table stored under `key`, or let `make` write it now; it appears whole or not at all.

    The rows that `make` left out are added to `report` in both cases. Jobs that want the same table wait
    for the first. `title` and `total` (rows) are for the progress bar.
    """

    def build(partial: Path) -> None:
        own = Report()
        with tracked(title, total) as advance:
            write_table(partial, make(own), advance)
        (partial / REPORT).write_text(json.dumps(own.to_json(), ensure_ascii=False), encoding="utf-8")

    place = entry(folder / "examples" / key, build)
    report.add(json.loads((place / REPORT).read_text(encoding="utf-8")))
    return ExampleTable(place)


def piped(
    rows: ExampleTable,
    steps: Mapping[str, Step],
    split: str,
    folder: Path,
    report: Report,
    processes: int | None,
) -> ExampleTable:
    """The rows after all pipeline steps; only a changed step and those after it run again."""
    return last(passed(rows, steps, split, folder, report, processes))


def passed(
    rows: ExampleTable,
    steps: Mapping[str, Step],
    split: str,
    folder: Path,
    report: Report,
    processes: int | None,
) -> Trail:
    """The rows before all pipeline steps, and after each of them."""
    trail = {SOURCE: rows}
    for name, step in steps.items():
        bound = for_split(step, split)
        make = partial(_run, rows, name, bound, processes)
        key = digest(VERSION, rows.fingerprint, name, identity(bound), *_read(bound, folder))
        trail[name] = rows = stored(folder, key, make, report, name, len(rows))
    return trail


def _read(step: Step, folder: Path) -> list[str]:
    """The hashes of the weights in the model folders that a step reads."""
    named = [step.keywords.get(option) for option in folders_of(step)] if isinstance(step, partial) else []
    folders = [one for value in named for one in ([value] if isinstance(value, str) else value or ())]
    files = [file for model in folders for file in sorted(Path(model).glob("*.safetensors"))]
    return [file_digest(file, folder / "digests") for file in files]


def _run(
    rows: ExampleTable, name: str, step: Step, processes: int | None, report: Report
) -> Iterator[Example]:
    if kind_of(step, f"pipeline.{name}") == "examples":
        return transformed_together(rows, name, step, report)
    if (count := _processes(processes, len(rows))) > 1:
        return _in_processes(rows, name, step, count, report)
    return transformed(rows, name, step, report)


def _processes(asked: int | None, rows: int) -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return asked or (cores if rows >= MANY else 1)


def _in_processes(
    rows: Iterable[Example], name: str, step: Step, count: int, report: Report
) -> Iterator[Example]:
    """Runs a step in `count` processes: the results are those of one process, in the same order."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, mp_context=context) as pool:
        shares = chunks(rows, SHARE)
        waiting = [pool.submit(_share, part, name, step) for part in islice(shares, 2 * count)]
        while waiting:
            examples, account = waiting.pop(0).result()
            waiting += [pool.submit(_share, part, name, step) for part in islice(shares, 1)]
            report.add(account)
            yield from examples


def _share(rows: list[Example], name: str, step: Step) -> tuple[list[Example], dict[str, Any]]:
    report = Report()
    return list(transformed(rows, name, step, report)), report.to_json()
