"""Checks that the texts of a conversation stand in what a chat template made of it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

REASONING = ("reasoning_content", "reasoning", "thinking")
"""The keys of a turn for the reasoning before its content."""
ASIDE = ("name", "tool_call_id")
"""The keys of a turn that say whose text it is."""
THOUGHT = "</think>"
"""The mark behind the reasoning that a content itself begins with."""

Lost = tuple[int, str]
"""The number of a turn, and its key whose text does not stand in the rendered text."""


def lost(turns: Sequence[Mapping[str, Any]], text: str) -> Iterator[Lost]:
    """Yield each (turn, key) of non-empty texts that the text does not hold, the contents in the order of the turns.

    White space may differ, as where a template trims, and a text may be written as a JSON string. The keys are
    "content", "tool_calls", and those of `REASONING` and `ASIDE`.
    """
    place = 0
    for number, turn in enumerate(turns):
        content = (turn["content"] or "").strip()
        at = text.find(content, place)
        if at >= 0:
            place = at + len(content)
        elif not stands(content, text if turn["role"] == "system" else text[place:]):
            yield number, "content"
        if len(turn) > 2:
            yield from ((number, key) for key in _extras_lost(turn, text))


def stands(part: str, text: str) -> bool:
    """Whether a text holds a part, but for white space, or the part as a JSON string.

    >>> stands("a  fox", "It is a fox."), stands("a\\nb", '{"x": "a\\\\nb"}'), stands("fox", "f o x-")
    (True, True, True)
    """
    if part in text:
        return True
    squeezed = "".join(text.split())
    forms = (part, json.dumps(part, ensure_ascii=False)[1:-1], json.dumps(part)[1:-1])
    return any("".join(form.split()) in squeezed for form in forms)


def tools_lost(tools: Sequence[Any], text: str) -> list[str]:
    """The names of tools, of their JSON schemas, that a text does not hold."""
    names = [_function(tool).get("name", "") for tool in tools if isinstance(tool, Mapping)]
    return [name for name in names if name and name not in text]


def _extras_lost(turn: Mapping[str, Any], text: str) -> Iterator[str]:
    for key in (*REASONING, *ASIDE):
        if turn.get(key) and not stands(str(turn[key]).strip(), text):
            yield key
    if not all(_called(call, text) for call in turn.get("tool_calls") or ()):
        yield "tool_calls"


def _called(call: Any, text: str) -> bool:
    """Whether a text holds the name and the arguments of a tool call, these an object or its JSON."""
    function = _function(call) if isinstance(call, Mapping) else {"name": str(call)}
    arguments = function.get("arguments")
    if isinstance(arguments, str) and not stands(arguments, text):
        try:
            arguments = json.loads(arguments)
        except ValueError:
            return False
    return all(stands(leaf, text) for leaf in _leaves([function.get("name"), arguments]))


def _function(node: Mapping[str, Any]) -> Mapping[str, Any]:
    """The function of a tool or a tool call, which may stand without the wrapping of its type."""
    inner = node.get("function")
    return inner if isinstance(inner, Mapping) else node


def _leaves(value: Any) -> Iterator[str]:
    """The texts and numbers in a JSON value, and the keys of its objects, as texts."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if inner is not None:
                yield str(key)
                yield from _leaves(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _leaves(inner)
    elif isinstance(value, str | int | float) and not isinstance(value, bool):
        yield value.strip() if isinstance(value, str) else json.dumps(value)
