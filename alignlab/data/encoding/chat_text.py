"""Renders conversations as text with the chat template of a tokenizer, each response apart from its prompt."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from alignlab.data.tables.lists import per_response
from alignlab.errors import DataError
from alignlab.types import Example, Message

log = logging.getLogger(__name__)

PROBE = "Be brief."
OTHER_TEMPLATE = "set another template (chat_template in the tokenizer of model.path)"
Turns = list[Message]


@dataclass(frozen=True)
class Texts:
    """A list as text: its prompt, or one for each response, and the text that the template adds for each response."""

    prompts: list[str]
    responses: list[str]


class ChatText:
    """The chat template of a tokenizer, as a function from conversations to texts.

    Where the template refuses system turns, or leaves them out, their text goes to the head of the first
    user turn.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer

    def __call__(self, examples: Sequence[Example]) -> list[Texts]:
        """Render the prompts, generation marks included, and the responses; DataError names a row that does not fit."""
        asked = [[self._fitting(prompt) for prompt in prompts_of(example)] for example in examples]
        pairs = [
            list(zip(_each(a, e), e.responses, strict=True)) for a, e in zip(asked, examples, strict=True)
        ]
        prompts = iter(self._rendered(examples, asked, add_generation_prompt=True))
        wholes = iter(self._rendered(examples, [[[*p, *turns_of(r)] for p, r in row] for row in pairs]))
        rendered = []
        for example, own in zip(examples, asked, strict=True):
            texts = [next(prompts) for _ in own]
            responses = []
            for prompt in _each(texts, example):
                whole = next(wholes)
                if not whole.startswith(prompt):
                    raise DataError(
                        f"row {example.id}: the chat template rewrites the prompt once a response follows, so the "
                        f"response cannot be told apart; {OTHER_TEMPLATE}"
                    )
                responses.append(whole[len(prompt) :])
            rendered.append(Texts(texts, responses))
        return rendered

    def _rendered(self, examples: Sequence[Example], rows: list[list[Turns]], **options: Any) -> list[str]:
        """All conversations of all rows as text, in order; DataError names the row that the template refuses."""
        from jinja2 import TemplateError

        try:
            return self._render([turns for row in rows for turns in row], **options)
        except TemplateError:  # of which row?
            for example, row in zip(examples, rows, strict=True):
                try:
                    self._render(row, **options)
                except TemplateError as error:
                    raise DataError(
                        f"row {example.id}: the chat template refuses it: {error}. Leave such rows out of the data, "
                        f"or {OTHER_TEMPLATE}"
                    ) from error
            raise

    def _render(self, conversations: list[Turns], **options: Any) -> list[str]:
        return (
            self.tokenizer.apply_chat_template(conversations, tokenize=False, **options)
            if conversations
            else []
        )

    def _fitting(self, prompt: Turns) -> Turns:
        return folded(prompt) if prompt[0]["role"] == "system" and self._folds else prompt

    @cached_property
    def _folds(self) -> bool:
        """Whether the template has no place for system turns; a warning says so once."""
        from jinja2 import TemplateError

        user = {"role": "user", "content": "Sky?"}
        try:
            if PROBE in self._render([[{"role": "system", "content": PROBE}, user]])[0]:
                return False
        except TemplateError as error:
            log.debug("the chat template refuses a system turn: %s", error)
        try:
            self._render([[user]])
        except TemplateError:  # it refuses everything, which is told with the row
            return False
        log.warning(
            "the chat template has no system turns: their text goes to the head of the first user turn"
        )
        return True


def prompts_of(example: Example) -> list[Turns]:
    """The prompts of a list: one for all responses, or one for each where the row has `meta["prompts"]`."""
    return per_response(example, "prompts") or [example.prompt]


def turns_of(response: Turns | str) -> Turns:
    """A response as a list of turns; a string is one assistant turn."""
    return [{"role": "assistant", "content": response}] if isinstance(response, str) else response


def folded(turns: Turns) -> Turns:
    r"""The turns without their system turn, whose text goes to the head of the user turn after it.

    >>> folded([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Sky?"}])
    [{'role': 'user', 'content': 'Be brief.\n\nSky?'}]
    """
    system, *rest = turns
    follows = rest[:1] if rest and rest[0]["role"] == "user" else []
    texts = [turn["content"] for turn in (system, *follows) if turn["content"]]
    return [{"role": "user", "content": "\n\n".join(texts)}, *rest[len(follows) :]]


def _each(prompts: list[Any], example: Example) -> list[Any]:
    """The prompt of each response, `[K]`."""
    return prompts if len(prompts) > 1 else prompts * len(example.responses)
