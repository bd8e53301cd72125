"""Text to token ids: chat template, exactly one BOS and one end of turn, and the one truncation."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from alignlab.data.id_turns import ids_in
from alignlab.data.rows import Drop
from alignlab.errors import DataError
from alignlab.types import Example, Message

Ids = list[int]


@dataclass(frozen=True)
class Limits:
    """Lengths in tokens; `max_prompt_length=None` keeps every prompt whole.

    A row that leaves less than `min_response_length` for a response that has to be cut is left out.
    """

    max_length: int
    max_prompt_length: int | None = None
    min_response_length: int = 1


@dataclass(frozen=True)
class Tokens:
    """A tokenized list: the prompt, and each response with its end-of-turn token."""

    prompt: Ids
    responses: list[Ids]
    rationale: tuple[Ids, Ids] = ([], [])
    """Prompt and text of the rationale of the preference, where the row has one."""


class Encoder:
    """A tokenizer with its chat template, as a function from examples to token ids.

    A response starts where the prompt's generation mark ends, and stops with the first token of
    those that end its last turn (`stops`, else the tokenizer's EOS is appended).
    """

    def __init__(self, tokenizer: Any, stops: Sequence[int] = ()) -> None:
        self.tokenizer = tokenizer
        self.stops = {*stops, tokenizer.eos_token_id}
        probe = tokenizer("a")["input_ids"]
        bos = tokenizer.bos_token_id
        self._bos = [bos] if bos is not None and probe[:1] == [bos] else []

    def __call__(self, examples: Sequence[Example]) -> list[Tokens]:
        """Tokens of several examples, encoded in batches, not yet truncated; given ids stay as they are.

        A rationale is `meta["rationale"]`, the answer to the messages `meta["rationale_prompt"]`.
        """
        tokens = self._encode(examples)
        reasoned = [i for i, example in enumerate(examples) if "rationale_prompt" in example.meta]
        for i, made in zip(reasoned, self._encode([_rationale(examples[i]) for i in reasoned]), strict=True):
            tokens[i] = replace(tokens[i], rationale=(made.prompt, made.responses[0]))
        return tokens

    def _encode(self, examples: Sequence[Example]) -> list[Tokens]:
        given = [_given(example) for example in examples]
        written = iter(self._encode_texts([e for e, ids in zip(examples, given, strict=True) if ids is None]))
        return [next(written) if ids is None else ids for ids in given]

    def _encode_texts(self, examples: Sequence[Example]) -> list[Tokens]:
        texts = [self.texts(example) for example in examples]
        flat = [text for prompt, responses in texts for text in (prompt, *responses)]
        encoded = iter(self.tokenizer(flat, add_special_tokens=False)["input_ids"] if flat else [])
        tokens = []
        for _, responses in texts:
            prompt = next(encoded)
            start = [] if prompt[:1] == self._bos else self._bos
            tokens.append(Tokens([*start, *prompt], [self._ended(next(encoded)) for _ in responses]))
        return tokens

    def prompt_ids(self, prompt: list[Message]) -> Ids:
        """A prompt up to and with the mark after which the model answers."""
        return self([Example(prompt=prompt, responses=[], labels=[])])[0].prompt

    def texts(self, example: Example) -> tuple[str, list[str]]:
        """The prompt with its generation mark, and what the template adds for each response."""
        prompt = self._template(example.prompt, example, add_generation_prompt=True)
        responses = []
        for response in example.responses:
            turns = [{"role": "assistant", "content": response}] if isinstance(response, str) else response
            whole = self._template([*example.prompt, *turns], example)
            if not whole.startswith(prompt):
                raise DataError(
                    f"row {example.id}: the chat template rewrites the prompt once a response follows, so the "
                    "response cannot be told apart; set another template (chat_template in the tokenizer of model.path)"
                )
            responses.append(whole[len(prompt) :])
        return prompt, responses

    def _template(self, turns: list[Message], example: Example, **options: Any) -> str:
        from jinja2 import TemplateError

        try:
            return self.tokenizer.apply_chat_template(turns, tokenize=False, **options)
        except TemplateError as error:
            raise DataError(
                f"row {example.id}: the chat template refuses it: {error}. Leave such rows out of the data, or set "
                "another template (chat_template in the tokenizer of model.path)"
            ) from error

    def _ended(self, ids: Ids) -> Ids:
        """Up to the first of the end-of-turn tokens at the end (blanks apart); EOS where there is none."""
        end, begin = None, len(ids)
        for i in reversed([i for i, token in enumerate(ids) if token in self.stops]):
            if self.tokenizer.decode(ids[i + 1 : begin]).strip():
                break
            end = begin = i
        return [*ids, self.tokenizer.eos_token_id] if end is None else ids[: end + 1]


def truncate(tokens: Tokens, limits: Limits) -> Tokens:
    """The one truncation of all objectives.

    A prompt above `max_prompt_length` loses its beginning (BOS apart); responses lose their end
    where prompt and response exceed `max_length`. Raises Drop where a response would be empty or a
    mere stub, or where the responses no longer differ.
    """
    prompt, most = tokens.prompt, limits.max_prompt_length
    if most is not None and len(prompt) > most:
        prompt = [*prompt[:1], *prompt[len(prompt) - most + 1 :]]
    room = limits.max_length - len(prompt)
    if room < 1:
        raise Drop("the prompt fills max_length and leaves no room for a response")
    if room < limits.min_response_length and any(len(ids) > room for ids in tokens.responses):
        raise Drop(f"the prompt leaves less than {limits.min_response_length} tokens for a longer response")
    responses = [ids[:room] for ids in tokens.responses]
    if not all(responses):
        raise Drop("a response has no tokens")
    if len(responses) > 1 and all(ids == responses[0] for ids in responses):
        raise Drop("the responses do not differ within max_length")
    asked, reason = tokens.rationale
    reason = reason[: limits.max_length - 1]
    return Tokens(prompt, responses, (asked[-(limits.max_length - len(reason)) :], reason))


def _given(example: Example) -> Tokens | None:
    """The tokens of an example that holds ids in place of text."""
    prompt = ids_in(example.prompt)
    return None if prompt is None else Tokens(prompt, [ids_in(turns) or [] for turns in example.responses])


def _rationale(example: Example) -> Example:
    """The rationale as a response to its own prompt."""
    meta = example.meta
    return Example(meta["rationale_prompt"], [meta["rationale"]], [1.0], id=example.id)
