"""Several rows may make one list, and one row several."""

import json

import pytest

from alignlab.data.load import load_examples
from alignlab.data.reading.examples import Report, converted
from alignlab.data.reading.rows import Origin
from alignlab.data.sources import helpsteer2, oasst
from alignlab.data.spec import DataSpec
from alignlab.errors import DataError
from tests.data.sources.rows import RATINGS, TREE, changed


def rated(i):
    texts = ("red", "blue")
    return [
        {"prompt": f"Which {i}?", "response": t, **RATINGS, "helpfulness": k} for k, t in enumerate(texts)
    ]


def write(folder, rows):
    (folder / "train.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return DataSpec("helpsteer2", helpsteer2.convert, path=str(folder), group_by="prompt", processes=1)


def test_rows_that_follow_each_other_make_a_list(tmp_path):
    spec = write(tmp_path, [row for i in range(6) for row in rated(i)])
    examples = load_examples(spec, tmp_path / "cache")
    found = [*examples.train, *examples.validation]
    assert {example.id for example in found} == {f"train.jsonl:{2 * i + 1}" for i in range(6)}
    assert all((example.labels, example.rewards) == ([0.0, 0.25], [0.0, 1.0]) for example in found)


def test_an_error_names_the_first_row_of_the_list(tmp_path):
    spec = write(tmp_path, [*rated(0), *(row | {"verbosity": 9} for row in rated(1))])
    with pytest.raises(
        DataError, match=r"train\.jsonl, row 3: column 'rows\[0\]\.verbosity': expected 0 to 4"
    ):
        load_examples(spec, tmp_path / "cache")


def lists_of(*rows):
    report = Report()
    raw = [(Origin("trees.jsonl", number), row) for number, row in enumerate(rows, 1)]
    return list(converted(raw, oasst.convert, report, skip_bad=True)), report


def test_a_row_may_make_several_lists():
    found, report = lists_of(TREE, TREE)
    assert [example.id for example in found] == ["m1", "m3", "m1#2", "m3#2"]
    assert dict(report.steps["source"]) == {"in": 2, "out": 4}


def test_of_a_bad_row_no_list_is_made():
    path = ("prompt", "replies", 1, "replies", 0, "replies", 0, "rank")
    found, report = lists_of(changed(TREE, *path, to="first"), TREE)
    assert [example.id for example in found] == ["m1", "m3"]
    assert report.steps["source"]["in"] == 2
    assert [(row["row"], "column 'ranks[0]'" in row["reason"]) for row in report.dropped] == [(1, True)]
