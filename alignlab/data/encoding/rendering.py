"""Calls the chat template of a tokenizer, and says in one way where it cannot serve."""

from collections.abc import Sequence
from typing import Any

from alignlab.errors import ConfigError
from alignlab.types import Message

Turns = list[Message]
CONTENT = "\ufdd3"
"""A noncharacter of Unicode, which no text holds, in place of a content."""


class Refusal(Exception):
    """Raised where the chat template cannot serve a conversation: the reason, and what it was found in, if anything."""

    def __init__(self, reason: str, where: str = "") -> None:
        super().__init__(f"{reason}: {where}" if where else reason)
        self.reason = reason


class Rendering:
    """The chat template of a tokenizer, as a function from conversations to texts."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer

    def __call__(
        self, conversations: Sequence[Turns], tools: Sequence[Any] | None = None, **options: Any
    ) -> list[str]:
        """Render conversations that have the same tools.

        `options` are those of `apply_chat_template`. Raises Refusal where the template does, and ConfigError where
        the tokenizer has none, or none that can be read.
        """
        from jinja2 import TemplateError, TemplateSyntaxError

        if not conversations:
            return []
        if self.tokenizer.chat_template is None:
            raise ConfigError(
                "the tokenizer has no chat template: name one with model.chat_template=chatml (llama3, mistral, gemma, "
                "zephyr, plain, or a file of your own: model.chat_template=/path/to/file.jinja)"
            )
        try:
            return self.tokenizer.apply_chat_template(
                list(conversations), tools=list(tools) if tools else None, tokenize=False, **options
            )
        except TemplateSyntaxError as error:
            raise ConfigError(
                f"the chat template cannot be read: {error} (its line {error.lineno}): mend it, or name another with "
                "model.chat_template=chatml"
            ) from error
        except (TemplateError, TypeError, ValueError) as error:
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
        return [self._tried(turns, tools, **options) for turns, tools in rows]

    def _tried(self, turns: Turns, tools: Any, **options: Any) -> str | Refusal:
        try:
            return self.one(turns, tools, **options)
        except Refusal as refusal:
            return refusal


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
