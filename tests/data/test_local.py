"""Rows of one's own files: the parts that only some schemas have, and errors that teach."""

import json

import pytest

from alignlab.data.reading.rows import Drop, RowError, answered, validate
from alignlab.data.sources.local import convert

ASK = {"role": "user", "content": "Which?"}
RED = {"role": "assistant", "content": "red"}
BEST = {"role": "assistant", "content": "scarlet"}
PAIR = {"prompt": "Which?", "chosen": "red", "rejected": "blue"}
LIST = {"prompt": "Which?", "responses": ["red", "blue"], "labels": [1, 0]}
THUMB = {"prompt": "Which?", "completion": "red", "label": True}


@pytest.mark.parametrize(
    ("label", "value"), [(True, 1.0), (False, 0.0), (1, 1.0), (0.25, 0.25), ("True", 1.0), ("false", 0.0)]
)
@pytest.mark.parametrize("texts", [{}, {"prompt": [ASK], "completion": [RED]}])
def test_unpaired(label, value, texts):
    example = validate(convert(THUMB | texts | {"label": label}))
    assert (example.prompt, example.responses, example.labels) == ([ASK], [[RED]], [value])


def test_a_plain_prompt_is_found_at_a_word():
    example = convert({"chosen": "Q: Which? A: red fox", "rejected": "Q: Which? A: rat"})
    assert example.prompt[0]["content"] == "Q: Which? A: "
    assert example.responses == ["red fox", "rat"]


def test_optional_columns():
    example = convert(LIST | {"rewards": [3.5, -1], "weight": 0.5, "id": 0, "meta": {"by": "me"}})
    assert (example.rewards, example.weight, example.id, example.meta) == ([3.5, -1], 0.5, "0", {"by": "me"})
    bare = convert(LIST | {"rewards": None, "weight": None, "id": None, "meta": None})
    assert (bare.rewards, bare.weight, bare.id, bare.meta) == (None, 1.0, "", {})


def test_rewards_alone_make_labels():
    example = convert({"prompt": "Which?", "responses": ["a", "b", "c"], "rewards": [2.5, -0.5, 1]})
    assert (example.labels, example.rewards) == ([1.0, 0.0, 0.5], [2.5, -0.5, 1.0])
    with pytest.raises(RowError, match="column 'labels': missing"):
        convert({"prompt": "Which?", "responses": ["a"], "rewards": [2.5]})


@pytest.mark.parametrize(
    "names",
    [
        ("score_chosen", "score_rejected"),
        ("chosen_score", "rejected_score"),
        ("chosen_rating", "rejected_rating"),
        ("chosen-rating", "rejected-rating"),
    ],
)
def test_names_for_scores(names):
    assert convert(PAIR | dict(zip(names, (4, "7.5"), strict=True))).rewards == [4.0, 7.5]
    assert convert(PAIR | dict(zip(names, (4, 7), strict=True)) | {"margin": 9}).rewards == [4.0, 7.0]


@pytest.mark.parametrize("margin", [1.5, "1.5"])
def test_a_margin_stands_as_rewards(margin):
    example = convert(PAIR | {"margin": margin})
    assert (example.rewards, example.meta) == ([1.5, 0.0], {"margin": 1.5})


def test_a_reference_is_no_reply_unless_asked_for():
    example = convert(PAIR | {"reference": "https://example.org/7"})
    assert example.responses == ["red", "blue"]


@pytest.mark.parametrize("texts", [{}, {"prompt": [ASK], "chosen": [RED], "reference": [BEST]}])
def test_a_reference_stands_above_the_chosen_reply(texts):
    example = validate(convert(PAIR | {"reference": "scarlet"} | texts, triples=True))
    assert [turns[0]["content"] for turns in example.responses] == ["scarlet", "red", "blue"]
    assert example.labels == [1.0, 0.5, 0.0]


def test_the_source_of_a_row_is_kept():
    assert convert(PAIR | {"source": "here"}).meta == {"source": "here"}
    assert convert(PAIR | {"source": "here", "meta": {"source": "there"}}).meta == {"source": "there"}


def test_dialogues_in_a_csv_cell():
    row = {"prompt": json.dumps([ASK]), "chosen": json.dumps([RED]), "rejected": json.dumps([BEST])}
    example = validate(convert(row))
    assert (example.prompt, example.responses) == ([ASK], [[RED], [BEST]])
    with pytest.raises(RowError, match="column 'prompt': looks like a list of messages, and is no JSON"):
        convert(row | {"prompt": str([ASK])})


def test_texts_in_blocks():
    blocks = [{"type": "text", "text": "Whi"}, {"type": "text", "text": "ch?"}]
    assert validate(convert(PAIR | {"prompt": [ASK | {"content": blocks}]})).prompt == [ASK]


def test_a_prompt_beside_whole_dialogues_must_be_theirs():
    row = {"prompt": [ASK], "chosen": [ASK, RED], "rejected": [ASK, BEST]}
    assert validate(convert(row)).prompt == [ASK]
    with pytest.raises(RowError, match="column 'prompt': is not what 'chosen' and 'rejected' begin with"):
        convert(row | {"prompt": [ASK | {"content": "Who?"}]})


def test_replies_of_several_turns():
    tail = [ASK | {"content": "Sure?"}, RED | {"content": "yes"}]
    example = validate(convert({"chosen": [ASK, RED, *tail], "rejected": [ASK, BEST, *tail]}))
    assert (example.prompt, example.responses) == ([ASK], [[RED, *tail], [BEST, *tail]])


def test_scores_of_a_pair_are_its_rewards():
    assert convert(PAIR | {"score_chosen": 4, "score_rejected": 7.5}).rewards == [4.0, 7.5]
    assert convert(PAIR | {"score_chosen": "4", "score_rejected": "7.5"}).rewards == [4.0, 7.5]
    assert convert(PAIR | {"score_chosen": 4, "score_rejected": None}).rewards is None
    assert convert(PAIR | {"score_chosen": 4}).rewards is None


@pytest.mark.parametrize(
    "row",
    [
        {"chosen": [ASK, RED, ASK, BEST], "rejected": [ASK, BEST, ASK, RED]},
        {"chosen": [ASK, RED], "rejected": [ASK, RED, ASK, BEST]},
        {"prompt": "Which?", "responses": [[RED, ASK, BEST], [BEST]], "labels": [1, 0]},
        {"prompt": "Which?", "completion": [RED, ASK, BEST], "label": True},
    ],
)
def test_a_user_turn_inside_a_response_is_no_text_to_learn(row):
    with pytest.raises(Drop, match="holds a user turn"):
        answered(validate(convert(row)))


@pytest.mark.parametrize("same", ["red", [ASK, RED]])
def test_identical_responses_are_dropped(same):
    with pytest.raises(Drop, match="identical"):
        convert(PAIR | {"chosen": same, "rejected": same})


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"text": "x"}, "chosen + rejected, or prompt + completion + label, found text"),
        (
            {"prompt": "x", "completions": ["y"], "labels": [True]},
            "column 'completions': steps of one answer",
        ),
        (PAIR | {"images": ["x.png"]}, "column 'images': would change what the model reads"),
        (PAIR | {"tools": ["f"]}, "column 'tools': expected a list of tool schemas, found"),
        (PAIR | {"chosen": [RED | {"tool_calls": "f()"}]}, "column 'chosen': turn 0: tool_calls are no JSON"),
        (
            PAIR | {"prompt": [ASK | {"content": [{"type": "image"}]}]},
            "column 'prompt': turn 0: expected text",
        ),
        (PAIR | {"margin": float("inf")}, "column 'margin': expected a finite number"),
        (PAIR | {"meta": {"a": b"x"}}, "column 'meta': expected what JSON can hold"),
        ({}, "column 'responses': missing"),
        (PAIR | {"rejected": None}, "column 'rejected': missing (null, or an empty cell)"),
        (PAIR | {"prompt": 5}, "column 'prompt': expected str or list or dict, found int 5"),
        (PAIR | {"prompt": " "}, "column 'prompt': all turns are empty"),
        (PAIR | {"chosen": ""}, "column 'chosen': the response is empty"),
        (
            PAIR | {"score_chosen": "high", "score_rejected": 1},
            "column 'score_chosen': expected int or float",
        ),
        (PAIR | {"weight": -1}, "column 'weight': expected a number of at least 0, found -1"),
        (PAIR | {"id": "\ud800"}, "column 'id': no valid Unicode"),
        ({"chosen": "red", "rejected": "blue"}, "column 'prompt': missing, and chosen and rejected share no"),
        ({"chosen": "Ab red", "rejected": "Abc red"}, "column 'prompt': missing"),
        (THUMB | {"label": None}, "column 'label': missing"),
        (THUMB | {"label": "good"}, "column 'label': expected bool or int or float, found str 'good'"),
        (THUMB | {"label": float("nan")}, "column 'label': expected a finite number, found float nan"),
        (LIST | {"labels": [1]}, "column 'labels': 1 values for 2 responses"),
        (LIST | {"labels": [1, None]}, "column 'labels[1]': expected a finite number, found NoneType"),
        (LIST | {"labels": [1, True]}, "column 'labels[1]': expected a finite number, found bool True"),
        (LIST | {"labels": 1}, "column 'labels': expected list, found int 1"),
        (LIST | {"rewards": [1, 2, 3]}, "column 'rewards': 3 values for 2 responses"),
        (LIST | {"labels": None, "rewards": [1, 2, 3]}, "column 'rewards': 3 values for 2 responses"),
        (
            PAIR | {"chosen": [ASK, RED]},
            "column 'rejected': is a reply alone, where 'chosen' is a whole dialogue",
        ),
        (
            PAIR | {"chosen": [ASK, RED], "rejected": [{"role": "system", "content": "Be brief."}, ASK, RED]},
            "column 'rejected': begins otherwise than 'chosen'",
        ),
        ({"data": [PAIR]}, "holds rows under 'data'"),
        (LIST | {"responses": [], "labels": []}, "column 'responses': the list is empty"),
        (LIST | {"responses": ["red", None]}, "column 'responses[1]': expected a list of messages"),
        (LIST | {"responses": ["red", [ASK, RED]]}, "column 'responses[1]': expected assistant turns"),
        (LIST | {"responses": ["red", [RED, ASK]]}, "column 'responses[1]': expected assistant turns"),
        (LIST | {"prompt": [ASK, RED]}, "column 'prompt': ends with an assistant turn"),
        (LIST | {"prompt": [ASK | {"content": 3}]}, "column 'prompt': turn 0: expected text, found int 3"),
        (LIST | {"prompt": ["Which?"]}, "column 'prompt': turn 0: expected {role, content}, found str"),
    ],
)
def test_rows_that_are_wrong(row, message):
    with pytest.raises(RowError) as error:
        validate(convert(row))
    assert message in str(error.value)
