"""Recognises texts that a chat template rendered before, which must not be rendered twice."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from alignlab.data.encoding.chat_text import Texts
from alignlab.data.encoding.rendering import CONTENT, Refusal, Rendering, common_start, turn
from alignlab.data.tables.lists import per_response
from alignlab.types import Example


@dataclass(frozen=True)
class Marks:
    """What a chat template writes before the text of a user and of an assistant, and at the head of all."""

    user: str
    assistant: str
    head: str
    """The BOS token, where the template writes it; an empty text elsewhere."""


class RenderedBefore:
    """Recognises the rows whose prompt is a text that the template of this tokenizer made before.

    Such a prompt begins with a mark that opens a turn (or with BOS), holds that of a user turn, and the mark of the
    assistant comes after it: at its end, at the head of each response, or in between where all responses begin alike.
    A text that quotes a mark in other places is an ordinary text.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer, self._render = tokenizer, Rendering(tokenizer)

    def __call__(self, example: Example) -> Texts | None:
        """The texts of a row that was rendered before, the prompt up to the assistant's mark; None for other rows."""
        if len(example.prompt) > 1 or example.prompt[0]["role"] != "user" or per_response(example, "prompts"):
            return None
        marks, prompt = self._marks, example.prompt[0]["content"].lstrip()
        if marks is None or not self._begins(marks, prompt):
            return None
        replies = [_reply(response) for response in example.responses]
        if None in replies:
            return None
        wholes = [prompt + str(reply) for reply in _without_mark(marks, prompt, replies)] or [prompt]
        parted = _parted(marks, prompt, wholes)
        if parted is None:
            return None
        head = "" if parted.startswith(marks.head) else marks.head
        return Texts([head + parted], [whole[len(parted) :] for whole in wholes] if replies else [])

    def holds_user_turn(self, texts: Texts) -> bool:
        """Whether a response of texts that were rendered before holds the turn of a user."""
        return self._marks is not None and any(self._marks.user.strip() in r for r in texts.responses)

    @staticmethod
    def _begins(marks: Marks, prompt: str) -> bool:
        user = marks.user.strip()
        openings = (user, user.replace("user", "system"), marks.head)
        return prompt.startswith(tuple(filter(None, openings))) and user in prompt

    @cached_property
    def _marks(self) -> Marks | None:
        """The marks of the template; None where it has none to know a turn by."""
        first, second, third = (f"{CONTENT}{n}{CONTENT}" for n in range(3))
        dialogue = [turn("user", first), turn("assistant", second), turn("user", third)]
        try:
            asked = self._render.one(dialogue[:1], add_generation_prompt=True)
            bare, short, whole = self._render([dialogue[:1], dialogue[:2], dialogue])
        except Refusal:
            return None
        if not all(part in whole for part in (first, second, third)) or second not in short:
            return None
        before, _, rest = whole.partition(first)
        answered, _, later = rest.partition(second)
        closing = common_start([short.partition(second)[2], later])
        bos = self._tokenizer.bos_token or ""
        head = bos if bos and before.startswith(bos) else ""
        user = later.partition(third)[0].removeprefix(closing).removeprefix(head)
        opened = asked[len(common_start([bare, asked])) :] or asked.partition(first)[2]
        assistant = next((opened[:n] for n in range(len(opened), 0, -1) if opened[:n] in answered), answered)
        return Marks(user, assistant, head) if user.strip() and assistant.strip() else None


def _parted(marks: Marks, prompt: str, wholes: Sequence[str]) -> str | None:
    """What all wholes begin with, up to and with the last mark of the assistant; None where a user turn follows it."""
    mark, user = marks.assistant.strip(), marks.user.strip()
    begin = common_start(wholes) if len(wholes) > 1 else prompt
    if len(wholes) == 1 and wholes[0][len(prompt) :].lstrip().startswith(mark):
        begin = wholes[0][: wholes[0].index(mark, len(prompt)) + len(mark)]
    place = begin.rfind(mark)
    if place <= 0 or user in begin[place + len(mark) :]:
        return None
    full = marks.assistant.lstrip()
    end = place + len(full if all(w.startswith(full, place) for w in wholes) else mark)
    return wholes[0][:end]


def _without_mark(marks: Marks, prompt: str, replies: Sequence[str | None]) -> list[str]:
    """The replies without the mark of the assistant that all begin with, where the prompt ends with it already."""
    mark = marks.assistant.strip()
    texts = [str(reply) for reply in replies]
    if prompt.rstrip().endswith(mark) and all(text.lstrip().startswith(mark) for text in texts):
        return [text.lstrip()[len(mark) :].lstrip("\n") for text in texts]
    return texts


def _reply(response: Any) -> str | None:
    """The text of a response that is a string or a single assistant turn; None for others."""
    turns = [turn("assistant", response)] if isinstance(response, str) else response
    return turns[0]["content"] if len(turns) == 1 and len(turns[0]) == 2 else None
