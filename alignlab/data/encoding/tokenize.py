"""Encodes examples as token ids, with exactly one BOS and one end of turn, and truncates them."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, Literal

from alignlab.data.encoding.chat_text import ChatText, Texts, prompts_of, turns_of
from alignlab.data.encoding.id_turns import ids_in
from alignlab.data.encoding.notes import Notes
from alignlab.data.encoding.odd_texts import tell_odd_texts
from alignlab.data.encoding.plain_specials import HIDE, PlainSpecials
from alignlab.data.encoding.rendered_before import RenderedBefore
from alignlab.data.encoding.rendering import Refusal
from alignlab.data.reading.rows import USER_TURN, Drop
from alignlab.data.tables.lists import per_response
from alignlab.errors import DataError
from alignlab.types import Example, Message

Ids = list[int]
Chunk = Sequence[Example]
Unfit = Refusal | Drop
"""What stands in place of a row that cannot be encoded, or is to be left out."""
SPELLED = (
    "row %s: its texts hold special tokens such as %s, which are read as the letters they are made of, here and in all "
    "rows; data.special_tokens=special reads them as the tokens themselves"
)
NOT_SPELLED = (
    "row %s: this tokenizer cannot write %s as text: where a text holds it, it is the special token, here and in all "
    "rows"
)
RENDERED = (
    "row %s: its texts hold the marks of the chat template already, so they are not rendered again, but used as they "
    "stand, with their special tokens; so are those of all such rows"
)
TWO_BOS = "row %s: its prompt begins with two %s, one of which is left out, here and in all such rows"
WAY_OUT = (
    "Leave such rows out with data.on_bad_row=skip, or set another template with model.chat_template=chatml (llama3, "
    "mistral, gemma, zephyr, plain, or /path/to/file.jinja)"
)


@dataclass(frozen=True)
class Limits:
    """The length limits of rows, in tokens; `max_prompt_length=None` keeps every prompt whole.

    A row that leaves less than `min_response_length` for a response that has to be cut is left out.
    """

    max_length: int
    max_prompt_length: int | None = None
    min_response_length: int = 1


@dataclass(frozen=True)
class Tokens:
    """A tokenized list: its prompt, or one for each response, and each response with its end-of-turn token."""

    prompts: list[Ids]
    responses: list[Ids]
    rationale: tuple[Ids, Ids] = ([], [])
    """The prompt and the text of the rationale; both are empty where the row has none."""

    @property
    def prompt(self) -> Ids:
        """The prompt of the list; where responses have one each, that of the first."""
        return self.prompts[0]


class Encoder:
    """A tokenizer with its chat template, as a function from examples to token ids.

    A response starts where the prompt's generation mark ends, and stops with the first token of
    those that end its last turn (`stops`, else the tokenizer's EOS is appended). Special tokens that
    the texts themselves hold are read as text, unless the tokenizer is a slow one, or `special_tokens`
    says that they are special; an end of turn that a response brings along is not doubled. Texts that
    the template rendered before are used as they stand.
    """

    def __init__(
        self,
        tokenizer: Any,
        stops: Sequence[int] = (),
        special_tokens: Literal["text", "special"] = "text",
    ) -> None:
        self.tokenizer, self.special_tokens = tokenizer, special_tokens
        self.stops = {*stops, tokenizer.eos_token_id}
        self.notes = Notes()
        self._chat, self._before = ChatText(tokenizer, self.notes), RenderedBefore(tokenizer)
        self._specials = PlainSpecials(tokenizer)
        special = tokenizer.added_tokens_decoder.items()
        self._ends = tuple(token.content for i, token in special if token.special and i in self.stops)
        self._blank: dict[int, bool] = {}
        probe = tokenizer("a")["input_ids"]
        bos = tokenizer.bos_token_id
        self._bos = [bos] if bos is not None and probe[:1] == [bos] else []

    def __call__(self, examples: Chunk) -> list[Tokens]:
        """Encode examples in batches, without truncation; examples that hold token ids keep them.

        The rationale of an example is `meta["rationale"]`, the answer to the messages `meta["rationale_prompt"]`.
        Raises DataError for a row that the chat template cannot serve.
        """
        rows: list[Tokens] = []
        for chunk, encoded in self.stream([examples]):
            for example, tokens in zip(chunk, encoded, strict=True):
                if isinstance(tokens, Exception):
                    raise refused(example.id, str(tokens)) from tokens
                rows.append(tokens)
        return rows

    def stream(self, chunks: Iterable[Chunk]) -> Iterator[tuple[Chunk, list[Tokens | Unfit]]]:
        """Yield chunks of examples with their tokens; one chunk is rendered while another is encoded.

        In place of the tokens of a row that the chat template cannot serve stands the Refusal, and a Drop for one
        that is to be left out.
        """
        waiting: tuple[Chunk, Future[list[Tokens | Unfit]]] | None = None
        with ThreadPoolExecutor(1) as ahead:
            for chunk in chunks:
                written = _written(chunk)
                texts = self._texts(written)
                job = chunk, ahead.submit(self._encode_rows, written, texts)
                if waiting:
                    yield waiting[0], _completed(waiting[0], waiting[1].result())
                waiting = job
            if waiting:
                yield waiting[0], _completed(waiting[0], waiting[1].result())

    def prompt_ids(self, prompt: list[Message]) -> Ids:
        """The token ids of a prompt, including the generation mark after which the model answers."""
        return self([Example(prompt=prompt, responses=[], labels=[])])[0].prompt

    @cached_property
    def vocabulary(self) -> str:
        """The hash of all that decides how text becomes ids, except the chat template."""
        fast = self.tokenizer.is_fast
        description = self.tokenizer.backend_tokenizer.to_str() if fast else repr(self.tokenizer)
        return hashlib.sha256(description.encode()).hexdigest()

    def _texts(self, examples: Chunk) -> list[Texts | Unfit]:
        """The texts of rows: as they stand where they were rendered before, else by the chat template."""
        before = [self._before(example) for example in examples]
        rest = [e for e, texts in zip(examples, before, strict=True) if texts is None]
        for example in rest:
            tell_odd_texts(example, self.notes, self._specials.names)
        rendered = iter(self._chat([*map(self._guarded, rest)]))
        return [
            next(rendered) if texts is None else self._as_it_stands(example, texts)
            for example, texts in zip(examples, before, strict=True)
        ]

    def _as_it_stands(self, example: Example, texts: Texts) -> Texts | Drop:
        self.notes.tell("rendered before", RENDERED % example.id)
        return Drop(USER_TURN) if self._before.holds_user_turn(texts) else texts

    def _guarded(self, example: Example) -> Example:
        """The example with special tokens in its texts hidden, and without ends of turn at the end of responses."""
        hidden = partial(self._hidden_within, example.id)
        own = per_response(example, "prompts")
        meta = {
            key: hidden(value)
            for key, value in (("prompts", own), ("tools", example.meta.get("tools")))
            if value
        }
        responses: list[Any] = [hidden(self._open(turns_of(response))) for response in example.responses]
        return Example(hidden(example.prompt), responses, example.labels, id=example.id, meta=meta)

    def _hidden_within(self, row: str, value: Any) -> Any:
        """A value of a message, or of what holds messages, with special tokens in its texts hidden."""
        if isinstance(value, str):
            return self._hidden(row, value)
        if isinstance(value, Mapping):
            return {
                key: inner if key == "role" else self._hidden_within(row, inner)
                for key, inner in value.items()
            }
        return [self._hidden_within(row, inner) for inner in value] if isinstance(value, list) else value

    def _hidden(self, row: str, text: str) -> str:
        """A text with its special tokens hidden, where they are to be read as text."""
        name = self._specials.first_in(text)
        if not name or self.special_tokens == "special":
            return text
        if self._specials.spells(name):
            self.notes.tell("spelled", SPELLED % (row, name))
        else:
            self.notes.tell("not spelled", NOT_SPELLED % (row, name))
        return self._specials.hide(text)

    def _open(self, turns: list[Message]) -> list[Message]:
        """A response without the ends of turn that its text ends with."""
        content = turns[-1]["content"]
        while (text := content.rstrip()).endswith(self._ends):
            content = text.removesuffix(next(end for end in self._ends if text.endswith(end)))
        return [*turns[:-1], {**turns[-1], "content": content}]

    def _encode_rows(self, examples: Chunk, rows: Sequence[Texts | Unfit]) -> list[Tokens | Unfit]:
        """The tokens of rows of texts; what stands for an unfit row is passed on."""
        fit = [(e, row) for e, row in zip(examples, rows, strict=True) if isinstance(row, Texts)]
        encoded = iter(self._encode_texts([e.id for e, _ in fit], [row for _, row in fit]))
        return [next(encoded) if isinstance(row, Texts) else row for row in rows]

    def _encode_texts(self, names: Sequence[str], rows: Sequence[Texts]) -> list[Tokens]:
        prompts = iter(self._encode([text for row in rows for text in row.prompts]))
        responses = iter(self._responses(rows))
        tokens = []
        for name, row in zip(names, rows, strict=True):
            asked = [self._begun(name, next(prompts)) for _ in row.prompts]
            tokens.append(Tokens(asked, [self._ended(next(responses)) for _ in row.responses]))
        return tokens

    def _begun(self, row: str, ids: Ids) -> Ids:
        """The ids of a prompt with one BOS, where the tokenizer puts one first or the text has one."""
        bos = self.tokenizer.bos_token_id
        while bos is not None and ids[:2] == [bos, bos]:
            self.notes.tell("two bos", TWO_BOS % (row, self.tokenizer.bos_token))
            ids = ids[1:]
        return ids if ids[:1] == self._bos else [*self._bos, *ids]

    def _responses(self, rows: Sequence[Texts]) -> list[Ids]:
        """The ids of responses as they are tokenized after their prompts."""
        flat = [text for row in rows for text in row.responses]
        if not self._prefixes:
            return self._encode(flat)
        several = [len(row.prompts) > 1 for row in rows]
        before = [
            self._anchor(row.prompts[k if own else 0])
            for row, own in zip(rows, several, strict=True)
            for k in range(len(row.responses))
        ]
        anchors = [*dict.fromkeys(before)]
        heads = dict(zip(anchors, self._encode(anchors), strict=True))
        anchored = self._encode([anchor + text for anchor, text in zip(before, flat, strict=True)])
        parted = [
            ids[len(heads[anchor]) :] if ids[: len(heads[anchor])] == heads[anchor] else None
            for anchor, ids in zip(before, anchored, strict=True)
        ]
        alone = iter(self._encode([text for text, ids in zip(flat, parted, strict=True) if ids is None]))
        return [next(alone) if ids is None else ids for ids in parted]

    @cached_property
    def _prefixes(self) -> bool:
        """Whether the tokenizer puts something before a text, such as a space, that it does not put inside."""
        line, letter, both = self._encode(["\n", "a", "\na"])
        return both != line + letter

    def _anchor(self, prompt: str) -> str:
        """The short text after which a response can be encoded in place of its whole prompt."""
        return self._specials.at_end(prompt) or "\n"

    def _encode(self, texts: list[str]) -> list[Ids]:
        """The ids of texts that the template rendered."""
        if not texts or not self.tokenizer.is_fast:
            return self.tokenizer(texts, add_special_tokens=False)["input_ids"] if texts else []
        backend = self.tokenizer.backend_tokenizer
        backend.no_truncation()
        backend.no_padding()
        hidden = [i for i, text in enumerate(texts) if HIDE in text]
        ids = [encoding.ids for encoding in backend.encode_batch_fast(texts, add_special_tokens=False)]
        for i, hidden_ids in zip(hidden, self._specials.encode([texts[i] for i in hidden]), strict=True):
            ids[i] = hidden_ids
        return ids

    def _ended(self, ids: Ids) -> Ids:
        """Ids up to the first trailing end-of-turn token (blanks apart); EOS is appended where there is none."""
        end = None
        for place in range(len(ids) - 1, -1, -1):
            if ids[place] in self.stops:
                end = place
            elif not self._is_blank(ids[place]):
                break
        return [*ids, self.tokenizer.eos_token_id] if end is None else ids[: end + 1]

    def _is_blank(self, token: int) -> bool:
        if token not in self._blank:
            self._blank[token] = not self.tokenizer.decode([token]).strip()
        return self._blank[token]


def refused(row: str, reason: str) -> DataError:
    """The DataError for a row that the chat template cannot serve: the row, the reason, and the ways out."""
    return DataError(f"row {row}: {reason}. {WAY_OUT}")


def truncate(tokens: Tokens, limits: Limits) -> Tokens:
    """Cut a tokenized list to the limits, in the same way for all objectives.

    A prompt above `max_prompt_length` loses its beginning (BOS apart); responses lose their end
    where prompt and response exceed `max_length`. Raises Drop where a response would be empty or a
    mere stub, or where the responses no longer differ.
    """
    most = limits.max_prompt_length
    prompts = [
        ids if most is None or len(ids) <= most else [*ids[:1], *ids[len(ids) - most + 1 :]]
        for ids in tokens.prompts
    ]
    if max(map(len, prompts)) >= limits.max_length:
        raise Drop("the prompt fills max_length and leaves no room for a response")
    each = prompts if len(prompts) > 1 else prompts * len(tokens.responses)
    rooms = [limits.max_length - len(prompt) for prompt in each]
    cut = [len(ids) > room for ids, room in zip(tokens.responses, rooms, strict=True)]
    if any(shorter and room < limits.min_response_length for shorter, room in zip(cut, rooms, strict=True)):
        raise Drop(f"the prompt leaves less than {limits.min_response_length} tokens for a longer response")
    responses = [
        ids[:room] if shorter else ids
        for ids, room, shorter in zip(tokens.responses, rooms, cut, strict=True)
    ]
    if not all(responses):
        raise Drop("a response has no tokens")
    rows = [*zip(each, responses, strict=True)]
    if len(rows) > 1 and all(row == rows[0] for row in rows):
        raise Drop("the responses do not differ within max_length")
    asked, reason = tokens.rationale
    reason = reason[: limits.max_length - 1]
    return Tokens(prompts, responses, (asked[-(limits.max_length - len(reason)) :], reason))


def _tokens_of_ids(example: Example) -> Tokens | None:
    """The tokens of an example that holds token ids; None where it holds text."""
    if ids_in(example.prompt) is None:
        return None
    prompts = [ids_in(turns) or [] for turns in prompts_of(example)]
    return Tokens(prompts, [ids_in(turns) or [] for turns in example.responses])


def _written(chunk: Chunk) -> list[Example]:
    """The examples to encode: those that hold text, and after them the rationales."""
    reasoned = [e for e in chunk if "rationale_prompt" in e.meta]
    return [
        *(example for example in chunk if ids_in(example.prompt) is None),
        *(Example(e.meta["rationale_prompt"], [e.meta["rationale"]], [1.0], id=e.id) for e in reasoned),
    ]


def _completed(chunk: Chunk, written: list[Tokens | Unfit]) -> list[Tokens | Unfit]:
    """The tokens of all examples of a chunk, from those that `_written` asked for."""
    encoded = iter(written)
    rows = [_tokens_of_ids(example) or next(encoded) for example in chunk]
    for i, example in enumerate(chunk):
        if "rationale_prompt" in example.meta:
            row, reason = rows[i], next(encoded)
            if isinstance(row, Tokens) and isinstance(reason, Tokens):
                rows[i] = replace(row, rationale=(reason.prompt, reason.responses[0]))
            elif isinstance(row, Tokens):
                rows[i] = reason
    return rows
