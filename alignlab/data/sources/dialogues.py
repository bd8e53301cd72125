"""Parts whole dialogues, or plain texts that begin alike, into the prompt and what follows it."""

import re
from bisect import bisect_left
from collections.abc import Mapping
from typing import Any

from alignlab.data.reading.rows import RowError

Text = str | list[Any]
"""A plain text, or the turns of a dialogue."""


def parted(named: Text | None, chosen: Text, rejected: Text) -> tuple[Text, Text, Text]:
    """Part a pair into (prompt, chosen, rejected), where replies may stand behind their whole dialogue.

    `named` is the prompt that the row gives, None without one. Both texts lose the prompt where both begin with it,
    whoever opens the dialogue. Raises RowError where nothing is shared, or a dialogue begins otherwise than `named`.
    """
    if named is not None and _repeated(named, chosen, rejected):
        return named, chosen[len(named) :], rejected[len(named) :]
    if named is not None and not _opens(chosen):
        return named, chosen, rejected
    prompt, better, worse = shared(chosen, rejected)
    if isinstance(named, list) and _said(named) != _said(prompt):
        raise RowError("prompt", "is not what 'chosen' and 'rejected' begin with")
    return prompt, better, worse


def shared(chosen: Text, rejected: Text) -> tuple[Text, Text, Text]:
    """Part two dialogues into (prompt, chosen, rejected), where the prompt is their common start.

    An assistant turn at the end of what they share belongs to the replies.
    """
    places = range(min(len(chosen), len(rejected)))
    cut = bisect_left(places, True, key=lambda last: chosen[: last + 1] != rejected[: last + 1])
    if isinstance(chosen, str):
        spaces = [match.end() for match in re.finditer(r"\s", chosen[:cut])]
        cut = spaces[-1] if spaces else 0  # never inside a word
    while isinstance(chosen, list) and cut and _role(chosen[cut - 1]) == "assistant":
        cut -= 1
    prompt = chosen[:cut]
    if not prompt:
        raise RowError("prompt", "missing, and chosen and rejected share no beginning")
    return prompt, chosen[cut:], rejected[cut:]


def _repeated(prompt: Text, chosen: Text, rejected: Text) -> bool:
    """Whether both replies begin with all turns of the prompt, and go on after them."""
    if not all(isinstance(text, list) for text in (prompt, chosen, rejected)):
        return False
    size = len(prompt)
    return all(len(text) > size and _said(text[:size]) == _said(prompt) for text in (chosen, rejected))


def _said(turns: Text) -> list[Any]:
    """The turns without keys that are empty, which tables add to make all turns alike."""
    return [
        {key: value for key, value in turn.items() if value} if isinstance(turn, Mapping) else turn
        for turn in turns
    ]


def _opens(text: Text) -> bool:
    """Whether a text is a whole dialogue, and not a reply alone."""
    return isinstance(text, list) and bool(text) and _role(text[0]) in ("system", "user")


def _role(turn: Any) -> Any:
    return turn.get("role") if isinstance(turn, Mapping) else None
