"""The checks that every row passes, and the errors for rows that are unsound or to be dropped."""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from alignlab.data.encoding.id_turns import TOKEN_IDS, is_sound
from alignlab.data.reading.column_names import mapping
from alignlab.data.reading.noted_row import NotedRow
from alignlab.data.tables.lists import per_response
from alignlab.errors import DataError, printable
from alignlab.types import Example, Message

ROLES = ("system", "user", "assistant", "tool", TOKEN_IDS)
TEXT_KEYS = ("name", "reasoning_content", "reasoning", "thinking", "tool_call_id")
"""The keys of a turn, beside role and content, that hold text for the chat template."""
MEND = "Mend the row, or leave such rows out with data.on_bad_row=skip"

USER_TURN = "a response holds a user turn, as where two dialogues part before the last turn"
"""The reason for which rows are dropped whose responses a user speaks in."""


@dataclass(frozen=True)
class Origin:
    """The file (or hub id) that a row comes from, and its row number there, from 1."""

    file: str
    row: int


class RowError(Exception):
    """The error for a row that breaks its schema: the column, the problem with it, and the way out."""

    def __init__(self, column: str, problem: str, way_out: str = MEND) -> None:
        super().__init__(printable(f"column '{column}': {problem}"))
        self.column, self.problem, self.way_out = column, problem, way_out


class Drop(Exception):
    """Raised to leave a sound row out; the report counts and lists it under the reason."""


@dataclass(frozen=True)
class Dropped:
    """The record that a pipeline step over all rows yields in place of a sound row that it leaves out."""

    id: str
    reason: str


def located(error: RowError, origin: Origin, row_id: str) -> DataError:
    """The DataError for an unsound row: it names file, row number, id, column, the problem and the way out."""
    named = f" (id {row_id})" if row_id else ""
    return DataError(f"{origin.file}, row {origin.row}{named}: {error}. {error.way_out}")


def column(row: Mapping[str, Any], name: str, kind: type | tuple[type, ...]) -> Any:
    """`row[name]`, checked to be of type `kind`; RowError otherwise."""
    if name not in row:
        raise missing(row, name)
    if row[name] is None:
        raise RowError(name, "missing (null, or an empty cell)")
    kinds = kind if isinstance(kind, tuple) else (kind,)
    if not isinstance(row[name], kinds) or (isinstance(row[name], bool) and bool not in kinds):
        expected = " or ".join(k.__name__ for k in kinds)
        raise RowError(name, f"expected {expected}, found {_shown(row[name])}")
    return row[name]


def missing(row: Mapping[str, Any], name: str, *others: str) -> RowError:
    """The error for a row without the column `name`, with the setting that maps its columns to this and `others`.

    A part of a row, which no setting can map, is to be mended.
    """
    if not isinstance(row, NotedRow):
        return RowError(name, f"missing; the row has {listed(row)}")
    lost = f" (data.columns has it as '{row.names[name]}')" if name in row.names else ""
    wanted = [other for other in (name, *others) if other not in row]
    return RowError(
        name,
        f"missing{lost}; the row has {listed(row)}",
        f"Say which column of yours it is: {mapping(wanted, row)}",
    )


def listed(row: Mapping[str, Any]) -> str:
    """The names of a row's columns, for an error to show."""
    return ", ".join(sorted(map(str, row))) or "no columns"


def number(row: Mapping[str, Any], name: str) -> float:
    """`row[name]` as a finite number; RowError where it is none."""
    return finite(column(row, name, (int, float)), name)


def finite(value: Any, name: str) -> float:
    """`value` as a finite float; RowError that names the column `name` otherwise."""
    try:
        result = float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else math.nan
    except OverflowError:  # an integer beyond all floats
        result = math.inf
    if not math.isfinite(result):
        raise RowError(name, f"expected a finite number, found {_shown(value)}")
    return result


def unicode(text: str, name: str) -> str:
    """`text`, if it can be written as UTF-8; RowError for half a surrogate pair (a cut emoji)."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise RowError(name, f"no valid Unicode: {error}") from error
    return text


def user(text: str) -> list[Message]:
    """A prompt of a single user turn."""
    return [{"role": "user", "content": text}]


def validate(example: Example) -> Example:
    """The example with every response as a list of messages; RowError where it is unsound."""
    prompt = messages(example.prompt, "prompt")
    if prompt[-1]["role"] == "assistant":
        raise RowError("prompt", "ends with an assistant turn; that turn belongs to the responses")
    if not example.responses:
        raise RowError("responses", "the list is empty")
    responses = [_response(r, i) for i, r in enumerate(example.responses)]
    own = [messages(p, f"meta.prompts[{i}]") for i, p in enumerate(per_response(example, "prompts") or [])]
    if len({turns[0]["role"] == TOKEN_IDS for turns in (prompt, *own, *responses)}) > 1:
        raise RowError("responses", "text and token ids in one row")
    unicode(example.id, "id")
    unicode(json.dumps(example.meta, ensure_ascii=False, default=str), "meta")
    rewards = None if example.rewards is None else _numbers(example.rewards, "rewards", len(responses))
    labels = _numbers(example.labels, "labels", len(responses))
    if finite(example.weight, "weight") < 0:
        raise RowError("weight", f"expected a number of at least 0, found {example.weight}")
    return replace(example, prompt=prompt, responses=[*responses], labels=labels, rewards=rewards)


def answered(example: Example) -> Example:
    """The checked example; Drop where a user speaks inside a response, which a model must not learn to write."""
    turns = (turn for response in example.responses if isinstance(response, list) for turn in response)
    if any(turn["role"] == "user" for turn in turns):
        raise Drop(USER_TURN)
    return example


def messages(value: Any, name: str) -> list[Message]:
    """`value` as a checked list of {role, content}, in which a system turn comes first; RowError otherwise.

    A turn keeps its `tool_calls` and those of `TEXT_KEYS` that are not empty, and no other key.
    """
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        raise RowError(name, f"expected a list of messages {{role, content}}, found {_shown(value)}")
    for turn, message in enumerate(value):
        if not isinstance(message, Mapping) or not {"role", "content"} <= set(message):
            raise RowError(name, f"turn {turn}: expected {{role, content}}, found {_shown(message)}")
        if message["role"] not in ROLES:
            raise RowError(name, f"turn {turn}: role {message['role']!r} is none of {', '.join(ROLES)}")
        if message["role"] == "system" and turn > 0:
            raise RowError(name, f"turn {turn}: a system turn may only come first")
        if not isinstance(message["content"], str):
            raise RowError(name, f"turn {turn}: expected text, found {_shown(message['content'])}")
        unicode(message["content"], name)
    turns = [_turn(message, name, number) for number, message in enumerate(value)]
    if not any(said(turn) for turn in turns):
        raise RowError(name, "all turns are empty")
    if any(message["role"] == TOKEN_IDS for message in value) and not is_sound(value):
        raise RowError(name, "expected token ids, whole numbers with a space between, and no other turn")
    return turns


def said(turn: Message) -> bool:
    """Whether a turn says anything: a text, a thought, or a call of a tool."""
    keys = ("content", "tool_calls", "reasoning_content", "reasoning", "thinking")
    return any(str(turn.get(key) or "").strip() for key in keys)


def _turn(message: Mapping[str, Any], name: str, number: int) -> Message:
    turn: Message = {"role": message["role"], "content": message["content"]}
    if len(message) == len(turn):
        return turn
    for key in TEXT_KEYS:
        if message.get(key) not in (None, ""):
            if not isinstance(message[key], str):
                raise RowError(name, f"turn {number}: expected text in {key}, found {_shown(message[key])}")
            turn[key] = unicode(message[key], f"{name}.{key}")
    if message.get("tool_calls"):
        if not isinstance(message["tool_calls"], Sequence) or isinstance(message["tool_calls"], str):
            raise RowError(
                name, f"turn {number}: expected a list of tool calls, found {_shown(message['tool_calls'])}"
            )
        turn["tool_calls"] = storable(message["tool_calls"], f"{name}.tool_calls")
    return turn


def storable(value: Any, name: str) -> Any:
    """`value`, if it can be kept as JSON in UTF-8; RowError otherwise."""
    try:
        unicode(json.dumps(value, ensure_ascii=False), name)
    except (TypeError, ValueError, RecursionError) as error:
        raise RowError(name, f"expected what JSON can hold: {error}") from error
    return value


def _response(value: Any, index: int) -> list[Message]:
    name = f"responses[{index}]"
    turns = [{"role": "assistant", "content": value}] if isinstance(value, str) else value
    if isinstance(value, str) and not value.strip():
        raise RowError(name, "the response is empty")
    turns = messages(turns, name)
    if {turns[0]["role"], turns[-1]["role"]} not in ({"assistant"}, {TOKEN_IDS}):
        raise RowError(name, f"expected assistant turns, found {[t['role'] for t in turns]}")
    return turns


def _numbers(values: Any, name: str, count: int) -> list[float]:
    if not isinstance(values, Sequence) or isinstance(values, str):
        raise RowError(name, f"expected a list of {count} numbers, found {_shown(values)}")
    if len(values) != count:
        raise RowError(name, f"{len(values)} values for {count} responses")
    return [finite(value, f"{name}[{i}]") for i, value in enumerate(values)]


def _shown(value: Any) -> str:
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) <= 60 else text[:57] + '...'}"


Convert = Callable[[Mapping[str, Any]], Example | Iterator[Example]]
"""The function of a source: it converts a raw row into an `Example`, or into several."""
