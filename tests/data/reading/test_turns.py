"""Turns in the forms that chat data come in, and what of them is refused or told."""

import json

import pytest

from alignlab.data.reading.noted_row import NotedRow
from alignlab.data.reading.rows import RowError, messages
from alignlab.data.reading.turns import text_of_column, without_marks

ASK, RED = {"role": "user", "content": "Which?"}, {"role": "assistant", "content": "red"}
CALL = {"type": "function", "function": {"name": "look", "arguments": {"at": "sky"}}}


def read(value):
    """(the checked turns or the text of a column, what was noted as unused)."""
    row = NotedRow({"chosen": value})
    text = text_of_column(row, "chosen")
    return text if isinstance(text, str) else messages(text, "chosen"), row.unused()


@pytest.mark.parametrize(
    ("value", "turns"),
    [
        ("red", "red"),
        ("[see the list]", "[see the list]"),
        (RED, [RED]),
        ({"from": "gpt", "value": "red"}, [RED]),
        (json.dumps([{"from": "human", "value": "Which?"}, {"from": "gpt", "value": "red"}]), [ASK, RED]),
        (json.dumps([{"name": "me", **RED}]), [{**RED, "name": "me"}]),
        ('[{"name": "red", "content": 5}]', '[{"name": "red", "content": 5}]'),
        ([{"role": "Human", "content": "Which?"}, {"role": "GPT", "content": "red"}], [ASK, RED]),
        (
            [{"role": "developer", "content": "Be kind."}, ASK],
            [{"role": "system", "content": "Be kind."}, ASK],
        ),
        ([{"from": "observation", "value": "5"}], [{"role": "tool", "content": "5"}]),
        (
            [{"role": "function", "name": "f", "content": "5"}],
            [{"role": "tool", "content": "5", "name": "f"}],
        ),
        ([{"role": "user", "content": None, "from": None, "value": "Which?"}], [ASK]),
        ([RED | {"reasoning_content": "hm", "name": None}], [RED | {"reasoning_content": "hm"}]),
        ([RED | {"content": None, "tool_calls": [CALL]}], [RED | {"content": "", "tool_calls": [CALL]}]),
        ([RED | {"tool_calls": json.dumps([CALL])}], [RED | {"tool_calls": [CALL]}]),
        (
            [{"from": "function_call", "value": json.dumps(CALL["function"])}],
            [RED | {"content": "", "tool_calls": [CALL]}],
        ),
        ([RED | {"images": [], "refusal": None, "audio": ""}], [RED]),
    ],
)
def test_forms(value, turns):
    assert read(value) == (turns, set())


def test_keys_that_are_not_used_are_noted():
    block = {"type": "text", "text": "red", "cache_control": "x"}
    _, unused = read([ASK | {"time": 5, "from": "me", "empty": []}, RED | {"content": [block]}])
    assert unused == {"chosen.time", "chosen.from", "chosen.content.cache_control"}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([{"role": "boss", "content": "x"}], "turn 0: role 'boss' is none of system, user"),
        ([{"role": "user"}], "turn 0: expected {role, content}, found role"),
        ([{"content": "x"}], "turn 0: role None is none of"),
        ([RED | {"images": ["x.png"]}], "turn 0: images would change what the model reads"),
        ([RED | {"function_call": {"name": "f"}}], "turn 0: function_call would change"),
        ([RED | {"content": [{"type": "image", "text": "x"}]}], "turn 0: expected text"),
        ([RED | {"reasoning_content": ["hm"]}], "turn 0: expected text in reasoning_content"),
        ([RED | {"reasoning_content": "\ud83d"}], "column 'chosen.reasoning_content': no valid Unicode"),
        ([RED | {"tool_calls": [{"name": "\ud83d"}]}], "column 'chosen.tool_calls': no valid Unicode"),
        ([RED | {"tool_calls": {"name": "f"}}], "turn 0: expected a list of tool calls"),
        ([{"from": "function_call", "value": "f(x)"}], "turn 0: expected a call {name, arguments} as JSON"),
    ],
)
def test_turns_that_are_refused(value, message):
    with pytest.raises(RowError) as error:
        read(value)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("turn", "learned", "fits"),
    [
        (RED | {"weight": 1, "train": True, "mask": False}, True, True),
        (RED | {"weight": 0}, False, True),
        (ASK | {"loss": False, "mask": True}, True, True),
        (RED | {"weight": 0}, True, False),
        (RED | {"weight": 0.5}, True, False),
        (RED | {"train": True}, False, False),
        (RED | {"mask": True}, True, False),
        (ASK | {"train": True}, True, False),
    ],
)
def test_marks_of_what_is_learned_must_be_what_is_done(turn, learned, fits):
    if fits:
        (bare,) = without_marks([turn], "chosen", learned=learned)
        assert bare in (ASK, RED)
    else:
        with pytest.raises(RowError, match=r"turn 0: .* trained on"):
            without_marks([turn], "chosen", learned=learned)


@pytest.mark.parametrize("cell", [str([{"name": None, **RED}]), f"array([{RED}])"])
def test_a_cell_of_turns_that_is_no_json_is_refused(cell):
    with pytest.raises(RowError, match="looks like a list of messages, and is no JSON"):
        read(cell)
