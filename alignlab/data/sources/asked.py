"""The prompt of a row of one's own files: its text under one of several names, what stands before it, and tools."""

import json
from collections.abc import Mapping
from typing import Any

from alignlab.data.reading.column_names import mapping, written
from alignlab.data.reading.noted_row import NotedRow, has, note
from alignlab.data.reading.rows import RowError, column, messages, missing, storable, unicode
from alignlab.data.reading.turns import Text, text_of_column, text_of_value, without_marks
from alignlab.types import Message

NAMES = ("question", "instruction", "query", "input", "conversations", "messages")
"""The columns that hold the prompt where there is none of that name; `input` follows an `instruction`."""
SYSTEM = ("system", "system_prompt", "system_message")
READABLE = ("document", "documents", "context", "contexts")
REFUSED = (
    *("image", "images", "video", "videos", "audio", "audios"),
    *(*READABLE, "functions", "chat_template_kwargs"),
)
"""The columns that would change what the model reads, and that nothing here can use."""


def refuse_unreadable(row: Mapping[str, Any]) -> None:
    """Raise RowError for a column with something in it that would change what the model reads, and cannot be used."""
    for name in REFUSED:
        if has(row, name) and _unempty(row[name]):
            text = name in READABLE and isinstance(_parsed(row[name]), str)
            raise RowError(
                name,
                "would change what the model reads, and is not supported",
                f"Train without it by data.ignored={written([name])}"
                + (
                    f", or have it read as the system text by 'data.columns={{system: {name}}}'"
                    if text
                    else ""
                ),
            )


def prompt_of(row: Mapping[str, Any]) -> Text | None:
    """The text or the turns that a row asks; None where it has no column for them. RowError where several may be it."""
    if has(row, "prompt"):
        return text_of_column(row, "prompt")
    if isinstance(row, NotedRow) and "prompt" in row.names and "prompt" not in row:
        raise missing(row, "prompt")
    names = [name for name in NAMES if has(row, name) and _unempty(row[name])]
    if set(names) == {"instruction", "input"}:
        return "\n".join(column(row, name, str) for name in ("instruction", "input"))
    if len(names) > 1:
        raise RowError(
            "prompt",
            f"missing, and {' and '.join(names)} may each be it",
            f"Say which one is: {mapping(['prompt'], [names[0]])}, and data.ignored={written(names[1:])}",
        )
    return text_of_column(row, names[0]) if names else None


def with_context(row: Mapping[str, Any], prompt: list[Message]) -> list[Message]:
    """The prompt with the system text of the row at its head, and the turns of its `history` before it."""
    own, rest = (prompt[:1], prompt[1:]) if prompt[0]["role"] == "system" else ([], prompt)
    before = _history(row)
    if before and before[0]["role"] == "system":
        own, before = _one_system([*own, before[0]], "history"), before[1:]
    for name in SYSTEM:
        if has(row, name) and _unempty(row[name]):
            text = unicode(column(row, name, str), name)
            own = _one_system([*own, {"role": "system", "content": text}], name)
    return messages([*own, *before, *rest], "prompt")


def tools_of(row: Mapping[str, Any], meta: Mapping[str, Any]) -> list[Any]:
    """The schemas of the tools that a prompt offers, from the column `tools` or meta; empty where it offers none."""
    own, others = _parsed(row["tools"]) if has(row, "tools") else None, _parsed(meta.get("tools"))
    where, value = ("tools", own) if own else ("meta.tools", others)
    if own and others:
        note(row, "meta.tools")
    tools = [_parsed(tool) for tool in value or []] if isinstance(value or [], list) else []
    if value and not (tools and all(isinstance(tool, Mapping) and tool for tool in tools)):
        raise RowError(where, f"expected a list of tool schemas, found {value!r:.60}")
    return list(storable(tools, where))


def _history(row: Mapping[str, Any]) -> list[Message]:
    """The turns before the prompt, from pairs [user, assistant] or turns."""
    value = _parsed(row["history"]) if has(row, "history") else None
    if not value:
        return []
    if not isinstance(value, list):
        raise RowError("history", f"expected turns, or pairs [user, assistant], found {value!r:.60}")
    turns: list[Any] = []
    for said in value:
        if isinstance(said, list) and len(said) == 2 and all(isinstance(text, str) for text in said):
            turns += [{"role": "user", "content": said[0]}, {"role": "assistant", "content": said[1]}]
        else:
            turns += [said]
    spoken = without_marks(text_of_value(row, turns, "history"), "history", learned=False)
    return messages(spoken, "history")


def _one_system(turns: list[Message], name: str) -> list[Message]:
    if len({turn["content"] for turn in turns}) > 1:
        raise RowError(name, f"a second system text, beside {turns[0]['content']!r:.60}")
    return turns[:1]


def _parsed(value: Any) -> Any:
    """What a cell holds as JSON; the value itself where it is no JSON."""
    try:
        return json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        return value


def _unempty(value: Any) -> bool:
    """Whether a value holds something, also where a cell has an empty list as text."""
    return _parsed(value) not in (None, "", [], {}) and str(value).strip() != ""
