"""The files of a suite's result: a picture, a json, the scores of all rows, and a page with the worst mistakes."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from alignlab import disk
from alignlab.errors import ConfigError
from alignlab.evaluation.suite import Line, Result
from alignlab.report.figures import COLOURS, PALE, finish, picture
from alignlab.report.page import inlined, render
from alignlab.runs.folder import RunFolder

RESULT, SCORES, PICTURE, PAGE = "result.json", "scores.jsonl", "result.png", "report.html"


def write_result(result: Result, facts: Mapping[str, Any], folder: Path) -> None:
    """Write all files of a result into a folder, which appears whole and takes the place of an older result.

    `facts` say what was evaluated and on which data. Raises ConfigError for a folder that holds something else.
    """
    require_place(folder)
    partial = RunFolder(folder.with_name(f"{folder.name}.partial"))
    disk.remove(partial.path)
    draw(result, partial.path / PICTURE)
    partial.write_lines(SCORES, result.rows)
    partial.write_json(RESULT, as_json(result, facts))
    partial.write_text(PAGE, page(result, facts, partial.path / PICTURE))
    disk.remove(folder)
    os.replace(partial.path, folder)


def require_place(folder: Path) -> None:
    """Raise ConfigError where a folder cannot be the place of a result, as it holds something that is none."""
    if folder.exists() and not (folder / RESULT).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(
            f"out={folder}: it is there and holds no result of a suite, and nothing else is overwritten"
        )


def as_json(result: Result, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the result as values that json can write, NaN as null, without the scores of the rows."""
    lines = [
        {"name": line.name, **asdict(line.estimate), "chance": line.chance, "total": line.total}
        for line in result.lines
    ]
    content = {
        "title": result.title,
        **facts,
        "score": result.lines[-1].estimate.value,
        "lines": lines,
        "notes": [*result.notes],
    }
    return dict(json.loads(json.dumps(content, default=str), parse_constant=lambda _: None))


def table(result: Result) -> list[list[str]]:
    """Return a row for each line: its name, the estimate with its interval, rows, and what a coin would reach."""
    return [
        [
            line.name,
            line.estimate.text(),
            f"{line.estimate.count:,}",
            "" if line.chance is None else f"{line.chance:.2f}",
        ]
        for line in result.lines
    ]


HEADER = ("", "value [95 % interval]", "rows", "a coin")


def page(result: Result, facts: Mapping[str, Any], drawn: Path) -> str:
    """Return the page of a result; all text of the data is escaped."""
    return render(
        "suite.html",
        title=result.title,
        facts=[f"{name} {value}" for name, value in facts.items() if isinstance(value, str) and value],
        header=HEADER,
        lines=[(line.total, row) for line, row in zip(result.lines, table(result), strict=True)],
        picture=inlined(drawn),
        notes=result.notes,
        mistakes=result.mistakes,
    )


def draw(result: Result, file: Path) -> None:
    """Draw a bar for each line with its interval, sums in another colour, and a mark for what a coin would reach."""
    lines = list(result.lines)
    with picture(file, (7.0, 1.6 + 0.3 * len(lines))) as axes:
        places = range(len(lines))
        axes.barh(
            places,
            [line.estimate.value for line in lines],
            color=[_colour(line) for line in lines],
            height=0.7,
        )
        for place, line in zip(places, lines, strict=True):
            axes.plot([line.estimate.low, line.estimate.high], [place, place], color="#333333", lw=1.2)
        axes.set_axisbelow(True)
        coins = [
            (line.chance, place) for place, line in zip(places, lines, strict=True) if line.chance is not None
        ]
        if coins:
            axes.plot(*zip(*coins, strict=True), "|", color=COLOURS[1], ms=13, mew=1.8, label="a coin")
        axes.set_yticks(places, [line.name for line in lines])
        axes.invert_yaxis()
        lowest = min((line.estimate.low for line in lines), default=0.0)
        axes.set_xlim(min(0.0, lowest), max(1.0, *(line.estimate.high for line in lines)))
        finish(axes, x=f"{result.axis}, with 95 % interval", y="")


def _colour(line: Line) -> str:
    return COLOURS[0] if line.total else PALE


def left_out(dropped: Sequence[Mapping[str, Any]], most: int = 6) -> list[str]:
    """Return a sentence for each reason for which rows were left out, the most frequent first; each row counts once."""
    rows = {(str(one["step"]), str(one["reason"]), str(one["id"])) for one in dropped}
    reasons: dict[tuple[str, str], int] = {}
    for step, reason, _ in rows:
        reasons[step, reason] = reasons.get((step, reason), 0) + 1
    ordered = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    texts = [f"{count:,} rows were left out by {step}: {reason}." for (step, reason), count in ordered[:most]]
    if rest := sum(count for _, count in ordered[most:]):
        texts.append(f"{rest:,} more rows were left out for other reasons.")
    return texts
