"""Rows of token ids reach the batch as they are: none added, none changed, in their order."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignlab.data.encoding.id_turns import LARGEST, id_turns, ids_in
from alignlab.data.encoding.prepare import require_vocabulary, tokenized
from alignlab.data.encoding.tokenize import Encoder, Limits
from alignlab.data.load import load_examples
from alignlab.data.reading.examples import Report, converted
from alignlab.data.reading.files import read
from alignlab.data.reading.rows import RowError, validate
from alignlab.data.sources import token_ids
from alignlab.data.spec import DataSpec
from alignlab.data.transforms.pairs import pairs
from alignlab.errors import DataError
from alignlab.types import Example
from tests.data import tokenizers_ as kinds

ROW = {"prompt_ids": [5, 1, 9], "responses": [[2], [3, 3, 3], [0, 7]]}
TEXT = Example(prompt=[{"role": "user", "content": "x"}], responses=["y", "z"], labels=[1.0, 0.0])


def rows(count):
    """Rows that all differ, lists of 2 and 3 in turn."""
    return [
        {"prompt_ids": [i, i + 1], "responses": [[i, k] for k in range(2 + i % 2)], "id": f"r{i}"}
        for i in range(count)
    ]


def write(folder, content):
    file = folder / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in content))
    return file


def loaded(folder, content, **changes):
    spec = DataSpec(
        "token_ids", token_ids.convert, path=str(write(folder, content)), validation_fraction=None
    )
    return load_examples(DataSpec(**(vars(spec) | changes)), folder / "cache")


def prepared(folder, examples, *limits):
    report = Report()
    encoder = Encoder(kinds.llama_style())
    return tokenized(examples, encoder, Limits(*(limits or [64])), folder, report)[0], report


def test_the_best_comes_first():
    assert token_ids.convert(ROW).labels == [1.0, 0.5, 0.0]
    assert token_ids.convert(ROW | {"responses": [[2]]}).labels == [1.0]
    assert token_ids.convert(ROW | {"responses": [[i] for i in range(1, 6)]}).labels == [
        1.0,
        0.75,
        0.5,
        0.25,
        0.0,
    ]


@given(st.lists(st.integers(0, LARGEST), min_size=1))
def test_ids_survive_as_turns(ids):
    assert ids_in(id_turns(ids)) == ids


def test_no_token_is_added_and_no_order_changed(tmp_path):
    content = rows(30)
    examples = loaded(tmp_path, content)
    found, _ = prepared(tmp_path, examples.train)
    assert list(found.ids) == [f"r{i}" for i in range(30)]
    for i, row in enumerate(content):
        assert found.prompts[i].tolist() == row["prompt_ids"]
        assert [found.responses[m].tolist() for m in found.members[i]] == row["responses"]


def test_all_rows_train_and_some_of_them_validate(tmp_path):
    examples = loaded(tmp_path, rows(30), limit_validation=4)
    assert len(examples.train) == 30
    assert len(examples.validation) == 4
    assert {e.id for e in examples.validation} < {e.id for e in examples.train}


def test_rows_without_an_id_are_named_by_their_place(tmp_path):
    assert [e.id for e in loaded(tmp_path, [ROW, ROW | {"id": 7}]).train] == ["rows.jsonl:1", "7"]


def test_pipeline_steps_take_them_too(tmp_path):
    examples = loaded(tmp_path, rows(4), steps={"pairs": pairs})
    found, _ = prepared(tmp_path, examples.train)
    assert [[found.responses[m].tolist() for m in found.members[i]] for i in range(4)] == [
        [[0, 0], [0, 1]],
        [[1, 0], [1, 2]],
        [[2, 0], [2, 1]],
        [[3, 0], [3, 2]],
    ]


def test_the_same_limits_hold(tmp_path):
    content = [
        {"prompt_ids": [*range(9)], "responses": [[1] * 9, [2] * 3]},
        {"prompt_ids": [*range(20)], "responses": [[1], [2]]},
    ]
    examples = loaded(tmp_path, content).train
    cut, report = prepared(tmp_path, examples, 12)
    assert [cut.responses[m].tolist() for m in cut.members[0]] == [[1] * 3, [2] * 3]
    assert [drop["reason"] for drop in report.dropped] == [
        "the prompt fills max_length and leaves no room for a response"
    ]
    kept, _ = prepared(tmp_path, examples, 12, 4)
    assert kept.prompts[1].tolist() == [0, 17, 18, 19]


def test_text_and_ids_go_through_one_encoder():
    encoder = Encoder(kinds.byte_level())
    mixed = [TEXT, token_ids.convert(ROW), TEXT]
    first, given_, last = encoder([validate(example) for example in mixed])
    assert first == last
    assert (given_.prompt, given_.responses) == (ROW["prompt_ids"], ROW["responses"])


@pytest.mark.parametrize(
    ("column", "row"),
    [
        ("prompt_ids", {"responses": [[1], [2]]}),
        ("prompt_ids", ROW | {"prompt_ids": []}),
        ("prompt_ids", ROW | {"prompt_ids": "5 1 9"}),
        ("prompt_ids[1]", ROW | {"prompt_ids": [5, True]}),
        ("prompt_ids[0]", ROW | {"prompt_ids": [-1]}),
        ("prompt_ids[0]", ROW | {"prompt_ids": [2**31]}),
        ("prompt_ids[2]", ROW | {"prompt_ids": [1, 2, 3.0]}),
        ("responses", ROW | {"responses": []}),
        ("responses", ROW | {"responses": None}),
        ("responses[1]", ROW | {"responses": [[1], []]}),
        ("responses[0]", ROW | {"responses": [1, 2]}),
        ("responses[1][1]", ROW | {"responses": [[1], [2, None]]}),
    ],
)
def test_a_bad_row_names_file_row_and_column(tmp_path, column, row):
    file = write(tmp_path, [ROW, row])
    with pytest.raises(DataError) as error:
        list(converted(read([file]), token_ids.convert, Report(), skip_bad=False))
    way_out = "data.on_bad_row=skip" if column.partition("[")[0] in row else "data.columns={prompt_ids: ...}"
    for part in (f"{file}, row 2", f"column '{column}'", way_out):
        assert part in str(error.value)
    report = Report()
    assert len(list(converted(read([file]), token_ids.convert, report, skip_bad=True))) == 1
    assert column in report.dropped[0]["reason"]


IDS = {"role": "token_ids", "content": "1 2"}


@pytest.mark.parametrize(
    "example",
    [
        Example(prompt=[IDS, IDS], responses=[[IDS], [IDS]], labels=[1.0, 0.0]),
        Example(prompt=[IDS | {"content": "1  2"}], responses=[[IDS], [IDS]], labels=[1.0, 0.0]),
        Example(prompt=[IDS | {"content": "9999999999"}], responses=[[IDS], [IDS]], labels=[1.0, 0.0]),
        Example(prompt=[IDS | {"content": "٣"}], responses=[[IDS], [IDS]], labels=[1.0, 0.0]),
        Example(prompt=[IDS], responses=["y", [IDS]], labels=[1.0, 0.0]),
        Example(prompt=TEXT.prompt, responses=[[IDS], [IDS]], labels=[1.0, 0.0]),
    ],
)
def test_ids_stand_alone(example):
    with pytest.raises(RowError):
        validate(example)


def test_ids_beyond_the_model_are_refused(tmp_path):
    content = [*rows(3), {"prompt_ids": [4], "responses": [[99], [6]], "id": "odd"}]
    found, _ = prepared(tmp_path, loaded(tmp_path, content).train)
    require_vocabulary(found, 100)
    with pytest.raises(
        DataError, match=r"row odd: token id 99 is beyond the model, whose 99 tokens are 0 to 98"
    ):
        require_vocabulary(found, 99)
    require_vocabulary(found.take([]), 1)
