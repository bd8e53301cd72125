"""Anthropic HH-RLHF (arXiv:2204.05862): pairs of whole dialogues, as published.

chosen    str   "\\n\\nHuman: ...\\n\\nAssistant: ..." up to and with the preferred last reply
rejected  str   the same dialogue with the other last reply
"""

import re
from collections.abc import Mapping
from itertools import takewhile
from typing import Any

from alignlab.data.rows import Drop, RowError, column
from alignlab.types import Example, Message

REPLY = "\n\nAssistant:"
TURN = re.compile(r"\n\n(Human|Assistant):")


def convert(row: Mapping[str, Any]) -> Example:
    """The prompt is what both dialogues share up to the last assistant mark."""
    chosen, rejected = column(row, "chosen", str), column(row, "rejected", str)
    if chosen == rejected:
        raise Drop("chosen and rejected are identical")
    same = sum(1 for _ in takewhile(lambda both: both[0] == both[1], zip(chosen, rejected, strict=False)))
    cut = chosen.rfind(REPLY, 0, same)
    if cut < 0:
        raise RowError("chosen", f"shares no dialogue up to an '{REPLY.strip()}' mark with 'rejected'")
    replies = [text[cut + len(REPLY) :].strip() for text in (chosen, rejected)]
    if any(TURN.search(reply) for reply in replies):
        raise Drop("chosen and rejected part before the last turn")
    if not all(replies):
        raise Drop("an empty reply")
    return Example(prompt=_dialogue(chosen[:cut]), responses=[*replies], labels=[1.0, 0.0])


def _dialogue(text: str) -> list[Message]:
    """Turns of a dialogue; the text before the first mark must be empty."""
    before, *parts = TURN.split(text)
    if before.strip() or not parts:
        raise RowError("chosen", "expected a dialogue that starts with 'Human:'")
    roles = ["user" if mark == "Human" else "assistant" for mark in parts[::2]]
    return [{"role": r, "content": t.strip()} for r, t in zip(roles, parts[1::2], strict=True)]
