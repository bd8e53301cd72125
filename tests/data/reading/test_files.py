"""Files of every format give the same rows; broken ones say where."""

import csv
import gzip
import json
import os

import pyarrow as pa
import pyarrow.parquet
import pytest

from alignlab.data.reading import files, unpacked
from alignlab.data.reading.data_files import data_files
from alignlab.data.reading.examples import Report, converted
from alignlab.data.reading.files import grouped, read
from alignlab.data.reading.rows import Origin, RowError
from alignlab.data.sources.local import convert
from alignlab.errors import DataError

ROWS = [
    {"prompt": f"Which {i}?\n", "chosen": f"réd, {i}", "rejected": '"blue"', "score_chosen": i, "score_rejected": 0.5}
    for i in range(3)
]  # fmt: skip


def as_csv(path):
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ROWS[0])
        writer.writeheader()
        writer.writerows(ROWS)


def as_arrow_file(path):
    table = pa.Table.from_pylist(ROWS)
    with pa.ipc.new_file(path, table.schema) as file:
        file.write_table(table, max_chunksize=2)


def as_arrow_stream(path):
    table = pa.Table.from_pylist(ROWS)
    with pa.ipc.new_stream(path, table.schema) as file:
        file.write_table(table)


WRITERS = {
    "a.jsonl": lambda p: p.write_text("\n\n".join(map(json.dumps, ROWS)), encoding="utf-8"),
    "marked.jsonl": lambda p: p.write_text("\n".join(map(json.dumps, ROWS)), encoding="utf-8-sig"),
    "lines.json": lambda p: p.write_text("\n".join(map(json.dumps, ROWS))),
    "b.json": lambda p: p.write_text(json.dumps(ROWS, indent=1)),
    "c.csv": as_csv,
    "d.parquet": lambda p: pa.parquet.write_table(pa.Table.from_pylist(ROWS), p),
    "e.arrow": as_arrow_file,
    "f.arrow": as_arrow_stream,
}


def examples(path, *, skip_bad=False):
    report = Report()
    rows = read(data_files(str(path)).sources)
    return list(converted(rows, convert, report, skip_bad=skip_bad, root=str(path))), report


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_same_rows(tmp_path, name, zipped):
    file = tmp_path / name
    WRITERS[name](file)
    if zipped:
        content = file.read_bytes()
        file.unlink()
        file = tmp_path / f"{name}.gz"
        file.write_bytes(gzip.compress(content, mtime=0))
    found, _ = examples(tmp_path)
    assert [e.prompt[0]["content"] for e in found] == [row["prompt"] for row in ROWS]
    assert [e.responses[0][0]["content"] for e in found] == [row["chosen"] for row in ROWS]
    assert [e.responses[1][0]["content"] for e in found] == ['"blue"'] * 3
    assert [e.rewards for e in found] == [[float(i), 0.5] for i in range(3)]
    assert found[0].id.startswith(file.name)


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.json", b"[{", "broken JSON"),
        ("a.json", b'{"prompt": "\xff"}', "broken JSON"),
        ("a.json", b'{\n"prompt": "x"}', "expected a list of rows, found dict; one row a line is .jsonl"),
        ("a.json", b"[" * 200_000, "broken JSON"),
        ("a.parquet", b"PAR1 not really", "no readable .parquet file"),
        ("a.arrow", b"ARROW1 not really", "no readable .arrow file"),
        ("a.arrow", b"nothing like it", "no readable .arrow file"),
        ("a.jsonl.gz", b"not zipped", "cannot be read"),
        ("a.jsonl.gz", gzip.compress(b'{"prompt": "x"}\n' * 99, mtime=0)[:-12], "cannot be read"),
        ("a.csv", b"prompt,chosen,chosen\nx,y,z\n", "two columns are named 'chosen'"),
        ("a.csv", "prompt,chosen\nx,y\n".encode("utf-16"), "UTF-16 text: save it as UTF-8"),
        ("a.csv", "prompt,chosen\nx,y\n".encode("utf-16-le"), "the names of its columns are not UTF-8"),
        ("a.jsonl", '{"prompt": "x"}\n'.encode("utf-16"), "UTF-16 text: save it as UTF-8"),
        ("a.jsonl", gzip.compress(b'{"prompt": "x"}\n', mtime=0), "let its name end in .gz"),
        ("a.json", b"PK\x03\x04 and more", "a zip archive"),
        ("a.csv", b"PAR1 and more", "a parquet file"),
        ("a.parquet", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "git lfs pull"),
    ],
)
def test_files_that_cannot_be_read_at_all(tmp_path, name, content, problem):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as error:
        list(read([tmp_path / name]))
    assert str(tmp_path / name) in str(error.value)
    assert problem in str(error.value)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_cells_of_a_csv_file(tmp_path, delimiter):
    long, rows = "y, z; " * 100_000, tmp_path / "a.csv"
    with rows.open("w", newline="", encoding="utf-8-sig") as file:
        csv.writer(file, delimiter=delimiter).writerows([["prompt", "chosen", "note"], ["x", long, ""]])
    assert [row for _, row in read([rows])] == [{"prompt": "x", "chosen": long, "note": None}]


def test_truth_values_of_a_spreadsheet(tmp_path):
    (tmp_path / "a.csv").write_text("prompt,completion,label\nx,y,TRUE\nx,z,FALSE\nx,w,true\n")
    assert [example.labels for example in examples(tmp_path)[0]] == [[1.0], [0.0], [1.0]]


def test_broken_rows_of_a_csv_file_stand_alone(tmp_path):
    (tmp_path / "a.csv").write_text('prompt,chosen\n"a" b,c\nd,e\nf,"g\nh,i\n')
    (_, first), (_, second), (place, last) = read([tmp_path / "a.csv"])
    assert second == {"prompt": "d", "chosen": "e"}
    assert "broken csv" in str(first)
    assert "broken csv" in str(last)
    assert place == Origin(str(tmp_path / "a.csv"), 3)


def test_text_that_is_no_utf8_in_a_table(tmp_path):
    table = pa.table({"prompt": pa.array([b"r\xe9d"]).view(pa.string())})
    pa.parquet.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"a\.parquet: no readable \.parquet file: .*UTF"):
        list(read([tmp_path / "a.parquet"]))


def test_two_values_under_one_name(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"chosen": "x", "chosen": "y"}\n{"chosen": "z"}\n')
    (_, error), (_, row) = read([tmp_path / "a.jsonl"])
    assert "two values under 'chosen'" in str(error)
    assert row == {"chosen": "z"}
    table = pa.Table.from_arrays([pa.array(["x"]), pa.array(["y"])], names=["chosen", "chosen"])
    pa.parquet.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(DataError, match="two columns are named 'chosen'"):
        list(read([tmp_path / "a.parquet"]))


def test_rows_that_follow_each_other_are_grouped():
    origins = [Origin("f", i) for i in range(1, 8)]
    broken = RowError("x", "broken")
    rows = [{"p": "a", "n": 1}, {"p": "a", "n": 2}, {"p": "b"}, {"q": 1}, broken, {"p": "b"}, {"p": "b"}]
    assert list(grouped(zip(origins, rows, strict=True), "p")) == [
        (origins[0], {"p": "a", "rows": rows[:2]}),
        (origins[2], {"p": "b", "rows": [rows[2]]}),
        (origins[3], rows[3]),
        (origins[4], broken),
        (origins[5], {"p": "b", "rows": rows[5:]}),
    ]
    assert list(grouped([], "p")) == []


@pytest.mark.parametrize(
    ("name", "inside"),
    [
        ("a.jsonl.gz", b"a" * 2**20),
        ("a.jsonl.gz", b"\n" * 2**20),
        ("a.jsonl.gz", b'{"prompt": "p", "chosen": "c", "rejected": "r"}\n' * 2**15),
        ("a.json.gz", b"[" + b" " * 2**20),
        ("a.csv.gz", b"prompt,chosen,rejected\n" + b"p,c,r\n" * 2**18),
        ("a.parquet.gz", b"PAR1" + bytes(2**20)),
    ],
)
def test_a_small_file_that_inflates_to_a_huge_one(tmp_path, monkeypatch, name, inside):
    monkeypatch.setattr(unpacked, "AT_LEAST", 2**16)
    monkeypatch.setattr(unpacked, "TIMES", 5)
    with (tmp_path / name).open("wb") as file:
        file.write(gzip.compress(inside) * 50)
    with pytest.raises(DataError, match="it inflates to more than 5 times its size"):
        list(read(data_files(str(tmp_path)).sources))


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv"])
def test_a_line_that_is_no_row(tmp_path, monkeypatch, name):
    monkeypatch.setattr(unpacked, "LONGEST", 2**20)
    (tmp_path / name).touch()
    os.truncate(tmp_path / name, 2**40)
    with pytest.raises(DataError, match="a line of more than 1 MB, which is no row"):
        examples(tmp_path)


def test_one_json_text_that_does_not_fit_into_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(unpacked, "free_memory", lambda: 2**20)
    monkeypatch.setattr(files, "LONGEST", 2**20)
    (tmp_path / "a.json").write_text("[")
    os.truncate(tmp_path / "a.json", 2**40)
    with pytest.raises(DataError, match="do not fit into memory: write one row a line"):
        examples(tmp_path)
