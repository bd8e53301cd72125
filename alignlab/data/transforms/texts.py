"""The text of prompts and responses, as filters read and compare it."""

import re

from alignlab.data.tables.lists import per_response
from alignlab.types import Example, Message

CJK = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
WORD = re.compile(rf"[{CJK}]|[^\W{CJK}]+")


def text(turns: list[Message] | str) -> str:
    """The text of all turns, with line breaks between."""
    return turns if isinstance(turns, str) else "\n".join(turn["content"] for turn in turns)


def written(response: list[Message] | str) -> str:
    """The text that the model wrote of a response, without tool and user turns inside it."""
    if isinstance(response, str):
        return response
    return text([turn for turn in response if turn["role"] not in ("user", "tool")])


def words(content: str) -> list[str]:
    """The words of a text without case and punctuation; each Chinese or Japanese sign is a word.

    >>> words("It's 3 o'clock, 三時!")
    ['it', 's', '3', 'o', 'clock', '三', '時']
    """
    return WORD.findall(content.casefold())


def prompts(example: Example) -> list[list[Message]]:
    """The prompts of a row: one for each response of a joint preference, else the one prompt."""
    return per_response(example, "prompts") or [example.prompt]
