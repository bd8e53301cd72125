"""Files of every format give the same rows; broken ones say where."""

import csv
import gzip
import json

import pyarrow as pa
import pyarrow.parquet
import pytest
from datasets import Dataset

from alignlab.data.reading.data_files import data_files, split_files
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
    rows = read(data_files(str(path)))
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


def test_a_folder_that_datasets_saved(tmp_path):
    Dataset.from_list(ROWS).save_to_disk(str(tmp_path / "saved"))
    (tmp_path / "saved/.cache").mkdir()
    (tmp_path / "saved/.cache/x.json").write_text("{")
    assert [file.suffix for file in data_files(str(tmp_path))] == [".arrow"]
    assert len(examples(tmp_path)[0]) == 3


@pytest.mark.parametrize(
    ("names", "train", "validation"),
    [
        (["train.jsonl", "test.jsonl"], ["train.jsonl"], ["test.jsonl"]),
        (["train.csv", "validation.csv", "test.csv"], ["train.csv"], ["validation.csv"]),
        (["a_train-0.json", "a_train-1.json", "a_dev.json"], ["a_train-0.json", "a_train-1.json"], ["a_dev.json"]),
        (["train/0.parquet", "eval/0.parquet", "test/0.parquet"], ["train/0.parquet"], ["eval/0.parquet"]),
        (["x/train.jsonl", "y/train.jsonl", "y/test.jsonl"], ["x/train.jsonl", "y/train.jsonl"], ["y/test.jsonl"]),
        (["constraint.json", "latest.json"], [], []),
        (["train.jsonl"], ["train.jsonl"], []),
    ],
)  # fmt: skip
def test_splits_are_told_by_names(tmp_path, names, train, validation):
    root = tmp_path / "test" / "train"  # folders above the data say nothing
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    files = data_files(str(root))
    assert split_files(files, "train") == [root / name for name in train]
    assert split_files(files, "validation") == [root / name for name in validation]


def test_the_splits_own_name_comes_first(tmp_path):
    for name in ("train_prefs-0.parquet", "train_sft-0.parquet"):
        (tmp_path / name).touch()
    files = data_files(str(tmp_path))
    assert split_files(files, "train", "train_prefs") == [tmp_path / "train_prefs-0.parquet"]
    assert len(split_files(files, "train", "train_gen")) == 2


def test_paths_without_data(tmp_path, monkeypatch):
    with pytest.raises(DataError, match=r"data.path=.*/none: no such file or folder"):
        data_files(str(tmp_path / "none"))
    (tmp_path / "notes.txt").touch()
    for path in (tmp_path, tmp_path / "notes.txt"):
        with pytest.raises(DataError, match="no data files there"):
            data_files(str(path))
    (tmp_path / "a.jsonl").touch()
    monkeypatch.setenv("HOME", str(tmp_path))
    assert data_files("~/a.jsonl") == [tmp_path / "a.jsonl"]


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
        ("a.csv", b'prompt,chosen\n"x' + b"y" * 200_000 + b'",z\n', "no readable csv"),
        ("a.csv", b"prompt,chosen,chosen\nx,y,z\n", "two columns are named 'chosen'"),
        ("a.csv", "prompt,chosen\nx,y\n".encode("utf-16"), "the names of its columns are not UTF-8"),
    ],
)
def test_files_that_cannot_be_read_at_all(tmp_path, name, content, problem):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as error:
        list(read([tmp_path / name]))
    assert str(tmp_path / name) in str(error.value)
    assert problem in str(error.value)


def test_text_that_is_no_utf8_in_a_table(tmp_path):
    table = pa.table({"prompt": pa.array([b"r\xe9d"]).view(pa.string())})
    pa.parquet.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"a\.parquet: no readable \.parquet file: .*UTF"):
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
