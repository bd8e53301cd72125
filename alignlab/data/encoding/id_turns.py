"""Turns that hold token ids in place of text, for rows that were tokenized elsewhere."""

import re
from collections.abc import Sequence

from alignlab.types import Message

TOKEN_IDS = "token_ids"
"""The role of a turn of token ids; its content is the ids as whole numbers, one space between."""
LARGEST = 2**31 - 1
"""The largest token id that is accepted."""


def id_turns(ids: Sequence[int]) -> list[Message]:
    """The turns of a prompt or response that holds these token ids.

    >>> id_turns([7, 0, 99])
    [{'role': 'token_ids', 'content': '7 0 99'}]
    """
    return [{"role": TOKEN_IDS, "content": " ".join(map(str, ids))}]


def ids_in(turns: list[Message] | str) -> list[int] | None:
    """The token ids that a prompt or response holds; None where it holds text.

    >>> ids_in([{"role": "token_ids", "content": "7 0 99"}]), ids_in("7 0 99")
    ([7, 0, 99], None)
    """
    if isinstance(turns, str) or turns[0]["role"] != TOKEN_IDS:
        return None
    return [int(number) for number in turns[0]["content"].split()]


def is_sound(turns: Sequence[Message]) -> bool:
    """Whether the turns are a single turn of well-formed token ids."""
    content = turns[0]["content"]
    numbers = re.fullmatch("[0-9]{1,10}( [0-9]{1,10})*", content)
    return len(turns) == 1 and numbers is not None and max(map(int, content.split())) <= LARGEST
