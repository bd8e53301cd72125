"""A bad row is one DataError with file, row, id, column and the way out, or a counted line in the report."""

import json
import math

import pytest

from alignlab.data.reading.examples import Report, converted, generated, transformed
from alignlab.data.reading.files import read
from alignlab.data.reading.rows import Drop, Origin
from alignlab.data.sources import local
from alignlab.errors import DataError
from alignlab.types import Example

GOOD = {"id": "g", "prompt": "Which?", "chosen": "red", "rejected": "blue"}
LIST = {"id": "row-7", "prompt": "Which?", "responses": ["red", "blue"], "labels": [1.0, 0.0]}
BROKEN_LINES = {
    "(the whole line)": [b'{"prompt": ', b'{"prompt": "\xe9t\xe9"}', b"[" * 100_000, b"9" * 5000],
    "(the whole row)": [b"[1, 2]", b"null", b'"text"'],
}
BAD_ROWS = {
    "responses[1]": LIST | {"responses": ["red", None]},
    "labels[1]": LIST | {"labels": [1.0, math.nan]},
    "responses[0]": LIST | {"responses": ["", "blue"]},
    "responses": LIST | {"responses": "red"},
    "labels": {k: v for k, v in LIST.items() if k != "labels"},
    "prompt": LIST | {"prompt": [{"role": "user", "content": "a"}, {"role": "boss", "content": "b"}]},
}


def lines(tmp_path, *content):
    file = tmp_path / "rows.jsonl"
    file.write_bytes(b"\n".join(c if isinstance(c, bytes) else json.dumps(c).encode() for c in content))
    return file


def refused(file):
    with pytest.raises(DataError) as error:
        list(converted(read([file]), local.convert, Report(), skip_bad=False))
    return str(error.value)


def skipped(file):
    report = Report()
    found = list(converted(read([file]), local.convert, report, skip_bad=True, root=str(file.parent)))
    return [example.id for example in found], report


@pytest.mark.parametrize(
    ("column", "line"), [(column, line) for column, lines in BROKEN_LINES.items() for line in lines]
)
def test_a_broken_line_in_the_middle(tmp_path, column, line):
    file = lines(tmp_path, GOOD, line, GOOD | {"id": "h"})
    message = refused(file)
    for part in (f"{file}, row 2:", f"column '{column}'", "data.on_bad_row=skip"):
        assert part in message
    names, report = skipped(file)
    assert names == ["g", "h"]
    assert report.steps["source"]["in"] == 3
    assert report.steps["source"]["out"] == 2
    (dropped,) = report.dropped
    assert (dropped["file"], dropped["row"], dropped["step"]) == (str(file), 2, "source")
    assert column in dropped["reason"]


@pytest.mark.parametrize(("column", "row"), BAD_ROWS.items())
def test_a_bad_row_names_everything(tmp_path, column, row):
    file = lines(tmp_path, GOOD, GOOD, row)
    message = refused(file)
    way_out = (
        "data.on_bad_row=skip" if column.partition("[")[0] in row else f"'data.columns={{{column}: ...}}'"
    )
    for part in (f"{file}, row 3 (id row-7):", f"column '{column}':", way_out):
        assert part in message
    names, report = skipped(file)
    assert names == ["g", "g#2"]
    assert report.dropped[0]["id"] == "row-7"


@pytest.mark.parametrize(
    ("content", "column"),
    [
        (b"id,prompt,chosen,rejected\ng,Which?,red,blue\nh,Which?,r\xe9d,blue\n", "chosen"),
        (b"id,prompt,chosen,rejected\ng,Which?,red,blue\nh,Which?,red,blue,more\n", "(the whole row)"),
        (b"id,prompt,chosen,rejected\ng,Which?,red,blue\nh,Which?,red\n", "rejected"),
        (b"id,prompt,chosen,rejected\ng,Which?,red,blue\nh,Which?,red,\n", "rejected"),
    ],
)
def test_a_bad_row_of_a_csv_file(tmp_path, content, column):
    file = tmp_path / "rows.csv"
    file.write_bytes(content)
    message = refused(file)
    assert f"{file}, row 2" in message
    assert f"column '{column}'" in message
    assert skipped(file)[0] == ["g"]


def test_rows_without_an_id_are_named_by_file_and_row(tmp_path):
    bare = {k: v for k, v in GOOD.items() if k != "id"}
    assert skipped(lines(tmp_path, bare, GOOD | {"id": 0}, bare))[0] == ["rows.jsonl:1", "0", "rows.jsonl:3"]


def test_report_lines():
    report = Report()
    report.count("source", "in", 3)
    report.count("source", "out", 2)
    report.drop("source", "too odd", "x", Origin("f.jsonl", 2))
    assert list(report.lines()) == ["source: 3 rows in, 2 out (1 dropped: too odd)"]
    assert report.dropped == [{"step": "source", "reason": "too odd", "id": "x", "file": "f.jsonl", "row": 2}]


def unsound(example=None):
    return [Example(prompt=[], responses=["x"], labels=[1.0], id="made")]


def test_unsound_rows_of_steps_and_generators_are_errors():
    sound = Example(prompt=[{"role": "user", "content": "x"}], responses=["y"], labels=[1.0], id="one")
    with pytest.raises(DataError, match=r"step 'mine' made an unsound row made: column 'prompt'"):
        list(transformed([sound], "mine", unsound, Report()))
    with pytest.raises(DataError, match=r"made an unsound row made: column 'prompt'"):
        list(generated(unsound, Report()))


def test_a_drop_of_a_step_is_counted():
    def picky(example):
        raise Drop("not today")

    report = Report()
    sound = Example(prompt=[{"role": "user", "content": "x"}], responses=["y"], labels=[1.0], id="one")
    assert list(transformed([sound], "picky", picky, report)) == []
    assert report.dropped == [{"step": "picky", "reason": "not today", "id": "one"}]
