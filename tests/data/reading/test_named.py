"""Columns under other names, columns that are left out, and what is said of those that were not used."""

import json
import logging

import pytest

from alignlab.console import warn_once
from alignlab.data.load import load_examples
from alignlab.data.sources import hh_rlhf, local
from alignlab.data.spec import DataSpec
from alignlab.errors import DataError

OTHER = {"question": "Which?", "better": "red", "worse": "blue"}
NAMES = {"prompt": "question", "chosen": "better", "rejected": "worse"}


@pytest.fixture
def load(tmp_path, caplog):
    """A function that loads rows of prompts of their own, and gives (an example, the warnings, the report)."""

    def loaded(row, source=local.convert, **settings):
        rows = [{**row, "n": str(i)} for i in range(20)]
        (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        caplog.clear()
        warn_once.cache_clear()
        settings = {"validation_fraction": None, "ignored": ["n"], **settings}
        spec = DataSpec("mine", source, path=str(tmp_path / "rows.jsonl"), **settings)
        with caplog.at_level(logging.WARNING):
            examples = load_examples(spec, tmp_path / "cache")
        return examples.train[0], caplog.messages, examples.report

    return loaded


def texts(example):
    return [example.prompt[0]["content"], *(turns[0]["content"] for turns in example.responses)]


def test_columns_of_other_names(load):
    example, warnings, _ = load(OTHER, columns=NAMES)
    assert (texts(example), warnings) == (["Which?", "red", "blue"], [])
    assert texts(load(OTHER, columns=NAMES | {"chosen": "worse", "rejected": "better"})[0])[1:] == [
        "blue",
        "red",
    ]


def test_a_mapped_column_displaces_one_of_that_name(load):
    example, warnings, _ = load(OTHER | {"prompt": "Who?"}, columns=NAMES)
    assert texts(example)[0] == "Which?"
    assert warnings == [
        "ignored columns: prompt (20 rows); if that is meant, say data.ignored=[prompt]",
    ]


def test_columns_of_published_sets_have_other_names_too(load):
    dialogue = "\n\nHuman: Which?\n\nAssistant: "
    row = {"good": dialogue + "red", "bad": dialogue + "blue"}
    example, warnings, _ = load(row, hh_rlhf.convert, columns={"chosen": "good", "rejected": "bad"})
    assert (texts(example), warnings) == (["Which?", "red", "blue"], [])


def test_unused_columns_are_told_once_and_kept_in_the_report(load):
    row = OTHER | {"by": 7, "none": None, "chat": [{"role": "user", "content": "x"}]}
    _, warnings, report = load(row, columns=NAMES)
    assert warnings == [
        "ignored columns: by (20 rows), chat (20 rows); if that is meant, say data.ignored=[by,chat]"
    ]
    assert report.to_json()["ignored"] == {"by": 20, "chat": 20}
    _, warnings, report = load(row, columns=NAMES, on_bad_row="raise")  # read from the cache
    assert (len(warnings), report.to_json()["ignored"]) == (1, {"by": 20, "chat": 20})
    assert load(row, columns=NAMES, ignored=["n", "by", "chat"])[1] == []


def test_a_column_that_is_left_out_is_not_read(load):
    row = OTHER | {"system": "Be kind.", "images": ["x.png"]}
    example, warnings, _ = load(row, columns=NAMES, ignored=["n", "system", "images"])
    assert (texts(example)[0], warnings) == ("Which?", [])


@pytest.mark.parametrize(
    ("row", "settings", "parts"),
    [
        ({"messages": [], "label": True}, {}, ["read by data=kto"]),
        (
            {"conversations": [], "kto_tag": 1},
            {},
            ["'data.columns={messages: conversations, label: kto_tag}'"],
        ),
        ({"instruction": "Which?", "completions": []}, {}, ["data=ultrafeedback"]),
        ({"chosen": "\n\nHuman: a", "rejected": "\n\nHuman: b"}, {}, ["data=hh_rlhf"]),
        (
            OTHER,
            {"columns": NAMES | {"system": "betetr"}},
            ["data.columns.system=betetr", "did you mean 'better'"],
        ),
        (
            OTHER,
            {"columns": {"chosen": "best", "rejected": "worse"}},
            ["data.columns has it as 'best'", "better"],
        ),
        (OTHER, {}, ["column 'chosen': missing", "'data.columns={chosen: better, rejected: worse}'"]),
        (
            {"prompt": "Which?", "accept": "red", "reject": "blue"},
            {},
            ["'data.columns={chosen: accept, rejected: reject}'"],
        ),
        (
            {"prompt": "Which?", "chosen_response": "red", "rejected": "blue"},
            {},
            ["{chosen: chosen_response}"],
        ),
        ({"prompt": "Which?", "chosn": "red", "rejected": "blue"}, {}, ["'data.columns={chosen: chosn}'"]),
        ({"prompt": "Which?", "my choice": "red", "rejected": "blue"}, {}, ["'data.columns={chosen: ...}'"]),
        ({"prompt": "Which?", "completion": "red", "kto_tag": True}, {}, ["'data.columns={label: kto_tag}'"]),
        (
            {"prompt": "Which?", "responses": ["a", "b"], "ranks": [1, 2]},
            {},
            ["'data.columns={labels: ...}'"],
        ),
        ({"chosen": "red", "rejected": "blue", "my text": "Which?"}, {}, ["'data.columns={prompt: ...}'"]),
        ({"chosen": "red", "rejected": "blue", "post": "Which?"}, {}, ["'data.columns={prompt: post}'"]),
        (
            {"chosen": "the red", "rejected": "the blue", "q": "Which?"},
            {"columns": {"prompt": "ask"}},
            ["column 'prompt': missing (data.columns has it as 'ask')"],
        ),
        (
            {"prompt": "Which?", "response_a": "red", "response_b": "blue", "winner": "a"},
            {},
            ["source of your own"],
        ),
    ],
)
def test_a_missing_column_offers_the_nearest(load, row, settings, parts):
    with pytest.raises(DataError) as error:
        load(row, **settings)
    for part in parts:
        assert part in str(error.value)
    assert "on_bad_row" not in str(error.value)


def test_an_index_column_without_a_name_is_told_with_the_setting_that_leaves_it_out(load):
    row = {"prompt": "Which?", "chosen": "red", "rejected": "blue", "": "7"}
    assert load(row)[1] == [
        'ignored columns: one without a name (20 rows); if that is meant, say data.ignored=[""]',
    ]
    assert load(row, ignored=["n", ""])[1] == []


@pytest.mark.parametrize(
    ("scores", "warned"),
    [({"score_chosen": 1, "score_rejected": 9}, True), ({"margin": -2}, True), ({"margin": 2}, False)],
)
def test_scores_against_the_labels_are_told(load, scores, warned):
    _, warnings, _ = load({"prompt": "Which?", "chosen": "red", "rejected": "blue", **scores})
    assert [("in 20 of 20 train rows the rewards" in line) for line in warnings] == [True] * warned
