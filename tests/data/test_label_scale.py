"""Labels on a scale of one's own: mapped to [0, 1] as `data.scale` says, or told."""

import json

import pytest

from alignlab.data.load import load_examples
from alignlab.data.sources import local
from alignlab.data.spec import DataSpec
from alignlab.errors import DataError

RATED = [[9, 7, 2], [10, 1, 4]]


@pytest.fixture
def load(tmp_path):
    """`load(lists of labels, **spec)` gives the labels of both splits of a file with such lists."""

    def run(lists, validation=None, **spec):
        parts = {"train": lists, "validation": validation or lists[:1]}
        for split, rows in parts.items():
            lines = [
                {
                    "prompt": f"{split} {n}",
                    "responses": [f"{i}" for i in range(len(labels))],
                    "labels": labels,
                }
                for n, labels in enumerate(rows)
            ]
            (tmp_path / f"{split}.jsonl").write_text("\n".join(map(json.dumps, lines)))
        examples = load_examples(
            DataSpec("mine", local.convert, path=str(tmp_path), **spec), tmp_path / "cache"
        )
        return [[row.labels for row in rows] for rows in (examples.train, examples.validation)]

    return run


def test_labels_stay_as_they_are_unless_asked(load):
    assert load(RATED)[0] == load(RATED, scale="keep")[0] == RATED


def test_the_ends_of_a_scale(load):
    train, validation = load(RATED, scale=[1, 10])
    assert train == [[8 / 9, 6 / 9, 1 / 9], [1, 0, 3 / 9]]
    assert validation == train[:1]


def test_minmax_goes_by_the_training_rows(load, caplog):
    with caplog.at_level("INFO"):
        train, validation = load([[-2, 2], [0, 1]], validation=[[3, -2]], scale="minmax")
    assert train == [[0, 1], [0.5, 0.75]]
    assert validation == [[1.25, 0]]
    assert caplog.text.count("[-2,2]") == 1


def test_minmax_of_equal_labels_is_refused(load):
    with pytest.raises(DataError, match=r"data\.scale=minmax: all labels .* are 3"):
        load([[3], [3]], scale="minmax")


def test_a_label_beyond_the_scale_is_an_error_or_a_dropped_row(load):
    with pytest.raises(DataError, match=r"train\.jsonl:2: label 11 is beyond data\.scale=\[1,10\]"):
        load([[9, 1], [11, 2]], scale=[1, 10])
    assert load([[9, 1], [11, 2]], scale=[1, 10], on_bad_row="skip")[0] == [[8 / 9, 0]]


def test_each_part_of_a_mixture_has_its_own(tmp_path):
    parts = {}
    for name, top, scale in (("stars", 5, [1, 5]), ("thumbs", 1, None)):
        file = tmp_path / f"{name}.jsonl"
        lines = [
            {"prompt": f"{name} {n}", "responses": ["a", "b"], "labels": [top, 1 - (scale is None)]}
            for n in range(40)
        ]
        file.write_text("\n".join(map(json.dumps, lines)))
        parts[name] = DataSpec(name, local.convert, path=str(file), scale=scale)
    examples = load_examples(DataSpec("mixture", parts=parts), tmp_path / "cache")
    assert {tuple(row.labels) for row in examples.train} == {(1.0, 0.0)}


@pytest.mark.parametrize(
    ("labels", "told"), [([1, 5], True), ([-1, 1], True), ([0, 1], False), ([0.2, 0.9], False)]
)
def test_ratings_of_lone_responses_are_told(load, caplog, labels, told):
    load([[label] for label in labels])
    assert ("data.scale" in caplog.text) == told


def test_lists_of_several_are_not(load, caplog):
    load(RATED)
    assert not caplog.text
