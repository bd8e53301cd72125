"""Calls the chat template of a tokenizer, and says in one way where it cannot serve."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from alignlab.data.encoding.trial import ROOM, excess, limit
from alignlab.errors import ConfigError
from alignlab.types import Message

Turns = list[Message]
FEW = 4
"""The number of conversations that a template is tried on."""
CONTENT = "\ufdd3"
"""A noncharacter of Unicode, which no text holds, in place of a content."""


OF_A_TEMPLATE = (
    TypeError,
    ValueError,
    LookupError,
    AttributeError,
    ArithmeticError,
    RecursionError,
    MemoryError,
)
"""What a template may raise besides jinja's own errors, as any program."""


class Refusal(Exception):
    """Raised where the chat template cannot serve a conversation: the reason, and what it was found in, if anything."""

    def __init__(self, reason: str, where: str = "") -> None:
        super().__init__(f"{reason}: {where}" if where else reason)
        self.reason = reason


class Rendering:
    """The chat template of a tokenizer, as a function from conversations to texts.

    A template is a program that came with a model: the first conversations are tried in a process of its own.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer, self._tried = tokenizer, ""

    def __call__(
        self, conversations: Sequence[Turns], tools: Sequence[Any] | None = None, **options: Any
    ) -> list[str]:
        """Render conversations that have the same tools.

        `options` are those of `apply_chat_template`. Raises Refusal where the template does, and ConfigError where
        the tokenizer has none, none that can be read, or one that takes too much time, memory or room.
        """
        if not conversations:
            return []
        if self.tokenizer.chat_template is None:
            raise ConfigError(
                "the tokenizer has no chat template: name one with model.chat_template=chatml (llama3, mistral, gemma, "
                "zephyr, plain, or a file of your own: model.chat_template=/path/to/file.jinja)"
            )
        render = partial(
            self.tokenizer.apply_chat_template,
            tools=list(tools) if tools else None,
            tokenize=False,
            **options,
        )
        self._require_bounds(render, conversations[:FEW], tools)
        texts = self._rendered(render, conversations)
        for turns, text in zip(conversations, texts, strict=True):
            if len(text) > ROOM and len(text) > limit(_size(turns, tools)):
                raise Refusal(f"the chat template writes {len(text)} characters for it")
        return texts

    def _require_bounds(self, render: Any, conversations: Sequence[Turns], tools: Any) -> None:
        """Raise ConfigError where the template knows no bounds, which is tried with its first conversations."""
        template = str(self.tokenizer.chat_template)
        if template == self._tried:
            return
        size = max(_size(turns, tools) for turns in conversations)
        if trouble := excess(lambda: render(list(conversations)), size):
            raise ConfigError(
                f"the chat template of the tokenizer {trouble}: mend it, or name another with "
                "model.chat_template=chatml (llama3, mistral, gemma, zephyr, plain, or a file of your own)"
            )
        self._tried = template

    def _rendered(self, render: Any, conversations: Sequence[Turns]) -> list[str]:
        from jinja2 import TemplateError, TemplateSyntaxError

        try:
            texts: list[str] = render(list(conversations))
            return texts
        except TemplateSyntaxError as error:
            raise ConfigError(
                f"the chat template cannot be read: {error} (its line {error.lineno}): mend it, or name another with "
                "model.chat_template=chatml"
            ) from error
        except (TemplateError, *OF_A_TEMPLATE) as error:
            raise Refusal(f"the chat template refuses it: {error}") from error

    def one(self, conversation: Turns, tools: Sequence[Any] | None = None, **options: Any) -> str:
        """Render one conversation."""
        return self([conversation], tools, **options)[0]

    def each(self, rows: Sequence[tuple[Turns, Any]], **options: Any) -> list[str | Refusal]:
        """Render pairs of a conversation and its tools; where the template refuses one, the Refusal stands there."""
        if not any(tools for _, tools in rows):
            try:
                return [*self([turns for turns, _ in rows], **options)]
            except Refusal:
                pass  # of which row?
        return [self._or_refusal(turns, tools, **options) for turns, tools in rows]

    def _or_refusal(self, turns: Turns, tools: Any, **options: Any) -> str | Refusal:
        try:
            return self.one(turns, tools, **options)
        except Refusal as refusal:
            return refusal


def _size(turns: Turns, tools: Any) -> int:
    """The number of characters that a conversation and its tools have."""
    return len(str(turns)) + len(str(tools or ""))


def turn(role: str, content: str) -> Message:
    """A turn of a conversation."""
    return {"role": role, "content": content}


def common_start(texts: Sequence[str]) -> str:
    """The longest text that all texts begin with.

    >>> common_start(["fox", "four", "for"])
    'fo'
    """
    first, last = min(texts), max(texts)
    parts = (i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b)
    return first[: next(parts, len(first))]
