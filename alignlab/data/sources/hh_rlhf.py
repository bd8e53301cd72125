"""Anthropic HH-RLHF (arXiv:2204.05862): pairs of whole dialogues, as published.

chosen    str   "\\n\\nHuman: ...\\n\\nAssistant: ..." up to and with the preferred last reply
rejected  str   the same dialogue with the other last reply
"""

import re
from collections.abc import Mapping
from typing import Any

from alignlab.data.reading.rows import Drop, RowError, column
from alignlab.data.sources.columns import pair
from alignlab.types import Example, Message

REPLY = "\n\nAssistant:"
TURN = re.compile(r"\n\n(Human|Assistant):")


def convert(row: Mapping[str, Any]) -> Example:
    """Convert a pair of dialogues; the prompt is what both share up to the last assistant mark."""
    chosen, rejected = column(row, "chosen", str), column(row, "rejected", str)
    if chosen == rejected:
        raise Drop("chosen and rejected are identical")
    cut = chosen.rfind(REPLY)
    while cut >= 0 and not rejected.startswith(chosen[: cut + len(REPLY)]):
        cut = chosen.rfind(REPLY, 0, cut)
    if cut < 0:
        raise RowError("chosen", f"shares no dialogue up to an '{REPLY.strip()}' mark with 'rejected'")
    better, worse = (text[cut + len(REPLY) :].strip() for text in (chosen, rejected))
    if TURN.search(better) or TURN.search(worse):
        raise Drop("chosen and rejected part before the last turn")
    return pair(dialogue(chosen[:cut], "chosen"), better, worse)


def dialogue(text: str, name: str) -> list[Message]:
    """The turns of a text with 'Human:' and 'Assistant:' marks; RowError where other text stands before the first."""
    before, *parts = TURN.split(text)
    if before.strip() or not parts:
        raise RowError(name, "expected a dialogue that starts with 'Human:'")
    roles = ["user" if mark == "Human" else "assistant" for mark in parts[::2]]
    return [{"role": r, "content": t.strip()} for r, t in zip(roles, parts[1::2], strict=True)]
