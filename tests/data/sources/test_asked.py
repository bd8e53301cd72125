"""What a row asks, beside a column `prompt`: other names, system texts, turns before, tools."""

import json

import pytest

from alignlab.data.reading.rows import RowError, validate
from alignlab.data.sources.local import convert
from tests.data.sources.rows import ASK, BLUE, OPENING, RED, said

REPLIES = {"chosen": "red", "rejected": "blue"}
SYSTEM = said("system", "Be kind.")
LOOK = {"type": "function", "function": {"name": "look"}}


def prompt(**columns):
    return validate(convert(REPLIES | columns)).prompt


@pytest.mark.parametrize("name", ["prompt", "question", "instruction", "query", "input"])
def test_names_of_the_prompt(name):
    assert prompt(**{name: "Which?"}) == [ASK]
    assert prompt(**{name: "Which?", "system": "Be kind."}) == [SYSTEM, ASK]


def test_an_input_follows_its_instruction():
    assert prompt(instruction="Which?", input="Red or blue.") == [said("user", "Which?\nRed or blue.")]
    assert prompt(instruction="Which?", input="") == [ASK]


def test_the_prompt_itself_comes_before_other_names():
    assert prompt(prompt="Which?", question="Who?") == [ASK]


def test_a_system_text_stands_at_the_head_of_every_form():
    whole = {"chosen": [ASK, RED], "rejected": [ASK, BLUE]}
    assert prompt(**whole, system="Be kind.") == [SYSTEM, ASK]
    assert prompt(prompt=[SYSTEM, ASK], system="Be kind.") == [SYSTEM, ASK]
    thumb = convert({"prompt": "Which?", "completion": "red", "label": True, "system_prompt": "Be kind."})
    rated = convert(
        {"prompt": "Which?", "responses": ["red", "blue"], "labels": [1, 0], "system": "Be kind."}
    )
    assert thumb.prompt == rated.prompt == [SYSTEM, ASK]
    with pytest.raises(RowError, match=r"column 'system': a second system text, beside 'Be kind\.'"):
        prompt(prompt=[SYSTEM, ASK], system="Be rude.")


@pytest.mark.parametrize("history", [[["Hello.", "Hi."]], OPENING[:2], json.dumps([["Hello.", "Hi."]])])
def test_turns_before(history):
    assert prompt(prompt="Which?", history=history) == OPENING
    assert prompt(prompt="Which?", history=history, system="Be kind.") == [SYSTEM, *OPENING]


@pytest.mark.parametrize("empty", [None, "", [], "[]"])
def test_empty_columns_ask_nothing(empty):
    names = ("history", "tools", "images", "documents", "system", "question")
    example = convert(REPLIES | {"prompt": "Which?"} | dict.fromkeys(names, empty))
    assert (example.prompt, example.meta) == ([ASK], {})


def test_dialogues_of_sharegpt():
    turns = [{"from": "human", "value": "Which?"}]
    better, worse = ({"from": "gpt", "value": text} for text in ("red", "blue"))
    example = validate(convert({"conversations": turns, "chosen": better, "rejected": worse}))
    assert (example.prompt, example.responses) == ([ASK], [[RED], [BLUE]])


def test_a_prompt_that_the_assistant_opens_is_not_repeated():
    opening = [said("assistant", "Hello."), ASK]
    example = convert({"prompt": opening, "chosen": [*opening, RED], "rejected": [*opening, BLUE]})
    assert (example.prompt, example.responses) == (opening, [[RED], [BLUE]])


@pytest.mark.parametrize("tools", [[LOOK], json.dumps([LOOK]), [json.dumps(LOOK)]])
def test_tools_are_kept_for_the_template(tools):
    assert convert(REPLIES | {"prompt": "Which?", "tools": tools}).meta == {"tools": [LOOK]}
    assert convert(REPLIES | {"prompt": "Which?", "meta": {"tools": tools}}).meta == {"tools": [LOOK]}


@pytest.mark.parametrize(
    ("columns", "message", "way_out"),
    [
        (
            {"question": "Which?", "query": "Who?"},
            "question and query may each be it",
            "data.ignored=[query]",
        ),
        ({"prompt": "Which?", "context": "A sky."}, "column 'context'", "'data.columns={system: context}'"),
        ({"prompt": "Which?", "videos": ["x.mp4"]}, "column 'videos'", "data.ignored=[videos]"),
        ({"prompt": "Which?", "history": "once"}, "column 'history': expected turns", "data.on_bad_row=skip"),
        ({"prompt": "Which?", "history": [["a", 5]]}, "column 'history': turn 0", "data.on_bad_row=skip"),
        ({"prompt": "Which?", "meta": {"tools": "hammer"}}, "column 'meta.tools'", "data.on_bad_row=skip"),
    ],
)
def test_what_is_refused(columns, message, way_out):
    with pytest.raises(RowError) as error:
        convert(REPLIES | columns)
    assert message in str(error.value)
    assert way_out in error.value.way_out
