"""Reads a text, a turn or a whole dialogue from a column, in the forms that chat data come in.

Turns are {role, content} or {from, value} (ShareGPT); a cell may hold them as JSON. Contents are texts or lists of
text blocks. What would change what the model reads or learns, and cannot be used, is refused by name.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from alignlab.data.reading.noted_row import note
from alignlab.data.reading.rows import ROLES, TEXT_KEYS, RowError, column, messages, said
from alignlab.types import Message

Text = str | list[Any]
"""A plain text, or the turns of a dialogue."""
OTHER_ROLES = {
    **{"human": "user", "gpt": "assistant", "developer": "system"},
    **{"observation": "tool", "function": "tool", "function_call": "assistant"},
}
"""The names that other forms have for our roles."""
MARKS = ("weight", "train", "loss", "mask")
"""The keys of a turn by which other tools learn from some turns and not from others."""
UNREADABLE = (
    "image",
    "images",
    "video",
    "videos",
    "audio",
    "audios",
    "function_call",
    "tool_call",
    "refusal",
)
"""The keys of a turn that would change what the model reads, and cannot be used."""
TEXT_BLOCKS = (None, "text", "input_text", "output_text")
CELL = re.compile(
    r"""\s*((\[\s*)?\{\s*["'](role|content|from|value)["']\s*:"""
    r"""|(array\()?\[\s*\{(?=.*["'](role|from)["']\s*:)(?=.*["'](content|value)["']\s*:))""",
    re.DOTALL,
)
"""The beginning of a cell that holds turns: one, or a list of them, whose keys may stand in any order."""


def text_of_column(row: Mapping[str, Any], name: str) -> Text:
    """The plain text of a column, or its turns; RowError where it has neither."""
    return text_of_value(row, column(row, name, (str, list, dict)), name)


def text_of_value(row: Mapping[str, Any], value: Any, name: str) -> Any:
    """A plain text, or turns in our form, of a value in the row; other values are left to the checks of messages.

    Keys of turns that are not used are noted on the row.
    """
    if isinstance(value, str) and CELL.match(value):
        value = _from_cell(value, name)
    if isinstance(value, Mapping):
        value = [value]
    if not isinstance(value, list) or not all(isinstance(turn, Mapping) for turn in value):
        return value
    if all(_is_ours(turn) for turn in value):
        return value
    for turn in value:
        _note_unused(row, turn, name)
    return [_turn(turn, f"turn {place}", name) for place, turn in enumerate(value)]


def dialogue_of_column(row: Mapping[str, Any], name: str) -> list[Message]:
    """The checked turns of a column of a published set; marks of what is learned are noted as not used."""
    turns = text_of_value(row, column(row, name, list), name)
    for turn in turns:
        for key in MARKS:
            if isinstance(turn, Mapping) and turn.get(key) is not None:
                note(row, f"{name}.{key}")
    return messages(turns, name)


def without_marks(turns: Any, name: str, *, learned: bool) -> Any:
    """The turns without marks of what is to be learned; RowError where these differ from what is done.

    Assistant turns are trained on where they are part of a response (`learned`), and all others never.
    """
    if not isinstance(turns, list) or not all(isinstance(turn, Mapping) for turn in turns):
        return turns
    for place, turn in enumerate(turns):
        trained = learned and turn.get("role") == "assistant"
        for key in MARKS:
            value = turn.get(key)
            if value is not None and value != (not trained if key == "mask" else trained):
                raise RowError(
                    name,
                    f"turn {place}: {key}={value!r:.20}, where this turn is {'' if trained else 'not '}trained on: "
                    "turns of the assistant in responses are, and no others",
                )
    return [{key: value for key, value in turn.items() if key not in MARKS} for turn in turns]


def _is_ours(turn: Mapping[str, Any]) -> bool:
    """Whether a turn has a role of ours and a text, and nothing else."""
    return len(turn) == 2 and turn.get("role") in ROLES and isinstance(turn.get("content"), str)


def _from_cell(text: str, name: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise RowError(name, f"looks like a list of messages, and is no JSON: {text!r:.60}") from None


def _turn(turn: Mapping[str, Any], place: str, name: str) -> Message:
    role, content = _role(turn), turn.get(_key(turn, "content", "value"))
    for key in UNREADABLE:
        if turn.get(key):
            raise RowError(name, f"{place}: {key} would change what the model reads, and is not supported")
    kept = {key: turn[key] for key in (*TEXT_KEYS, "tool_calls", *MARKS) if turn.get(key) not in (None, "")}
    if turn.get(_key(turn, "role", "from")) == "function_call":
        kept["tool_calls"], content = [_call(content, place, name)], ""
    if isinstance(kept.get("tool_calls"), str):
        kept["tool_calls"] = _parsed_calls(kept["tool_calls"], place, name)
    if content is None and not said({"content": "", **kept}):
        raise RowError(
            name, f"{place}: expected {{role, content}}, found {', '.join(sorted(map(str, turn)))}"
        )
    return {**kept, "role": role, "content": "" if content is None else _content(content, place, name)}


def _key(turn: Mapping[str, Any], ours: str, theirs: str) -> str:
    """The key of a turn that holds its role, or its content: ours, or that of ShareGPT."""
    return theirs if turn.get(ours) is None and theirs in turn else ours


def _role(turn: Mapping[str, Any]) -> Any:
    role = turn.get(_key(turn, "role", "from"))
    if not isinstance(role, str):
        return role
    known = OTHER_ROLES.get(role.lower(), role.lower())
    return known if known in ROLES else role


def _content(content: Any, place: str, name: str) -> Any:
    if not isinstance(content, list):
        return content
    for block in content:
        text = block.get("text") if isinstance(block, Mapping) and block.get("type") in TEXT_BLOCKS else None
        if not isinstance(text, str):
            raise RowError(name, f"{place}: expected text, found {content!r:.60}")
    return "".join(block["text"] for block in content)


def _call(content: Any, place: str, name: str) -> dict[str, Any]:
    """The call of a tool that a turn of ShareGPT's role `function_call` holds as JSON."""
    try:
        call = json.loads(content)
        function = {"name": call["name"], "arguments": call["arguments"]}
    except (ValueError, TypeError, KeyError, RecursionError):
        raise RowError(
            name, f"{place}: expected a call {{name, arguments}} as JSON, found {content!r:.60}"
        ) from None
    return {"type": "function", "function": function}


def _parsed_calls(calls: str, place: str, name: str) -> Any:
    try:
        return json.loads(calls)
    except (ValueError, RecursionError):
        raise RowError(name, f"{place}: tool_calls are no JSON: {calls!r:.60}") from None


def _note_unused(row: Mapping[str, Any], turn: Mapping[str, Any], name: str) -> None:
    """Note the keys of a turn, and of its blocks, that hold something and are not used."""
    role, content = _key(turn, "role", "from"), _key(turn, "content", "value")
    used = {role, content, "tool_calls", *TEXT_KEYS, *MARKS}
    left = {f"{name}.{key}": value for key, value in turn.items() if key not in used}
    for block in turn[content] if isinstance(turn.get(content), list) else []:
        more = block.items() if isinstance(block, Mapping) else ()
        left.update({f"{name}.{content}.{key}": value for key, value in more if key not in ("type", "text")})
    for key, value in left.items():
        if value not in (None, "", [], {}):
            note(row, re.sub(r"\[\d+\]", "", key))
