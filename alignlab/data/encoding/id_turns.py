"""Turns that hold token ids in place of text, for rows that were tokenized elsewhere."""

import re
from collections.abc import Sequence

from alignlab.types import Message

TOKEN_IDS = "token_ids"
"""Role of such a turn; its content are the ids as whole numbers, one space between."""
LARGEST = 2**31 - 1


def id_turns(ids: Sequence[int]) -> list[Message]:
    """A prompt or response of these ids.

    >>> id_turns([7, 0, 99])
    [{'role': 'token_ids', 'content': '7 0 99'}]
    """
    return [{"role": TOKEN_IDS, "content": " ".join(map(str, ids))}]


def ids_in(turns: list[Message] | str) -> list[int] | None:
    """The ids that a prompt or response holds; None where it holds text.

    >>> ids_in([{"role": "token_ids", "content": "7 0 99"}]), ids_in("7 0 99")
    ([7, 0, 99], None)
    """
    if isinstance(turns, str) or turns[0]["role"] != TOKEN_IDS:
        return None
    return [int(number) for number in turns[0]["content"].split()]


def is_sound(turns: Sequence[Message]) -> bool:
    """Whether a turn of ids stands alone and holds nothing else."""
    content = turns[0]["content"]
    numbers = re.fullmatch("[0-9]{1,10}( [0-9]{1,10})*", content)
    return len(turns) == 1 and numbers is not None and max(map(int, content.split())) <= LARGEST
