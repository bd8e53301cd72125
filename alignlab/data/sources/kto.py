"""Single replies with a thumb up or down, as KTO (arXiv:2402.01306) takes them.

messages             list of {role, content}: the dialogue, the reply last
label                bool

or, in place of messages:
prompt, completion   str, or lists of {role, content}
"""

from collections.abc import Mapping
from typing import Any

from alignlab.data.reading.rows import Drop, RowError, column
from alignlab.data.reading.turns import dialogue_of_column
from alignlab.data.sources.columns import id_of, text_of
from alignlab.types import Example, Message


def convert(row: Mapping[str, Any]) -> Example:
    """Convert a rated reply into a list of one response, labelled 1 or 0."""
    label = column(row, "label", bool)
    if row.get("messages") is not None:
        dialogue = dialogue_of_column(row, "messages")
        prompt, response = dialogue[:-1], dialogue[-1:]
        if response[0]["role"] != "assistant":
            raise RowError(
                "messages", f"the label is for the last turn, which is of the {response[0]['role']}"
            )
    else:
        prompt, response = (
            _turns(row, name, role) for name, role in (("prompt", "user"), ("completion", "assistant"))
        )
    if not any(turn["content"].strip() for turn in response):
        raise Drop("an empty reply")
    return Example(
        prompt, [response], [float(label)], id=id_of(row), meta={"source": text_of(row, "dataset")}
    )


def _turns(row: Mapping[str, Any], name: str, role: str) -> list[Message]:
    value = column(row, name, (str, list))
    return [{"role": role, "content": value}] if isinstance(value, str) else dialogue_of_column(row, name)
