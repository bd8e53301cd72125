"""Damaged files of every format give sound lists, or one clear error that names the file."""

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alignlab.data.reading.data_files import data_files
from alignlab.data.reading.examples import Report, converted
from alignlab.data.reading.files import read
from alignlab.data.reading.rows import validate
from alignlab.data.sources.local import convert
from alignlab.errors import DataError
from tests.data.reading.test_files import WRITERS

CASES = 40
"""Damaged files of each format, plain and zipped."""
DIALOGUES = [
    {
        "id": f"é{i}",
        "prompt": [{"role": "user", "content": f"Which {i}?"}],
        "responses": ["réd", "blue", "green"],
        "labels": [1.0, 0.5, i / 10],
        "meta": {"n": i},
    }
    for i in range(8)
]


def as_parquet(path, rows):
    pa.parquet.write_table(pa.Table.from_pylist(rows), path)


def as_arrow(path, rows):
    table = pa.Table.from_pylist(rows)
    with pa.ipc.new_stream(path, table.schema) as file:
        file.write_table(table)


NESTED = {
    "nested.jsonl": lambda p: p.write_text("\n".join(map(json.dumps, DIALOGUES))),
    "nested.json": lambda p: p.write_text(json.dumps(DIALOGUES, ensure_ascii=False), encoding="utf-8"),
    "nested.parquet": lambda p: as_parquet(p, DIALOGUES),
    "nested.arrow": lambda p: as_arrow(p, DIALOGUES),
}
PIECES = [
    b"",
    b"\x00",
    b"\xff",
    b"\n",
    b'"',
    b",",
    b"{",
    b"]",
    b"\\ud800",
    b"\xef\xbb\xbf",
    b"NaN",
    b"9" * 5000,
]


@pytest.fixture(scope="module")
def contents(tmp_path_factory):
    """What a sound file of each format holds."""
    folder = tmp_path_factory.mktemp("sound")
    for name, write in (WRITERS | NESTED).items():
        write(folder / name)
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@st.composite
def damage(draw, size):
    """Places where pieces replace what stands there; perhaps an end that comes too early."""
    cuts = draw(
        st.lists(st.tuples(st.integers(0, size), st.integers(0, 3), st.sampled_from(PIECES)), max_size=3)
    )
    return cuts, draw(st.none() | st.integers(0, size))


def damaged(content, cuts, end):
    for start, length, piece in cuts:
        content = content[:start] + piece + content[start + length :]
    return content[:end]


def outcome(path, *, skip_bad):
    report = Report()
    try:
        return (
            list(converted(read(data_files(str(path)).sources), convert, report, skip_bad=skip_bad)),
            report,
            "",
        )
    except DataError as error:
        return [], report, str(error)


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("name", [*WRITERS, *NESTED])
@settings(max_examples=CASES, deadline=None)
@given(data=st.data())
def test_a_damaged_file_gives_sound_lists_or_one_clear_error(tmp_path_factory, contents, name, zipped, data):
    path: Path = tmp_path_factory.getbasetemp() / (f"damaged-{name}.gz" if zipped else f"damaged-{name}")
    content = contents[name]
    if zipped and data.draw(st.booleans()):  # sound inside, damaged outside
        content = gzip.compress(content, mtime=0)
        path.write_bytes(damaged(content, *data.draw(damage(len(content)))))
    else:
        content = damaged(content, *data.draw(damage(len(content))))
        path.write_bytes(gzip.compress(content, mtime=0) if zipped else content)
    strict, _, failure = outcome(path, skip_bad=False)
    lenient, report, unreadable = outcome(path, skip_bad=True)
    assert not failure or str(path) in failure
    assert not unreadable or (str(path) in unreadable and failure)
    assert failure or len(strict) == len(lenient)
    for example in lenient:
        assert validate(example) == example
        json.dumps(example.meta)
    if not unreadable and "source" in report.steps:
        counts = report.steps["source"]
        assert counts["in"] == counts["out"] + len(report.dropped)
