"""Encodes examples as token ids, with exactly one BOS and one end of turn, and truncates them."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from alignlab.data.encoding.chat_text import ChatText, Texts, prompts_of, turns_of
from alignlab.data.encoding.id_turns import ids_in
from alignlab.data.encoding.plain_specials import HIDE, PlainSpecials
from alignlab.data.reading.rows import Drop
from alignlab.data.tables.lists import per_response
from alignlab.types import Example, Message

Ids = list[int]
Chunk = Sequence[Example]


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
    the texts themselves hold are read as text, unless the tokenizer is a slow one; an end of turn
    that a response brings along is not doubled.
    """

    def __init__(self, tokenizer: Any, stops: Sequence[int] = ()) -> None:
        self.tokenizer = tokenizer
        self.stops = {*stops, tokenizer.eos_token_id}
        self._chat = ChatText(tokenizer)
        self._specials = PlainSpecials(tokenizer) if tokenizer.is_fast else None
        special = tokenizer.added_tokens_decoder.items()
        self._ends = tuple(token.content for i, token in special if token.special and i in self.stops)
        self._blank: dict[int, bool] = {}
        probe = tokenizer("a")["input_ids"]
        bos = tokenizer.bos_token_id
        self._bos = [bos] if bos is not None and probe[:1] == [bos] else []

    def __call__(self, examples: Chunk) -> list[Tokens]:
        """Encode examples in batches, without truncation; examples that hold token ids keep them.

        The rationale of an example is `meta["rationale"]`, the answer to the messages `meta["rationale_prompt"]`.
        """
        return [row for _, tokens in self.stream([examples]) for row in tokens]

    def stream(self, chunks: Iterable[Chunk]) -> Iterator[tuple[Chunk, list[Tokens]]]:
        """Yield chunks of examples with their tokens; one chunk is rendered while another is encoded."""
        waiting: tuple[Chunk, Future[list[Tokens]]] | None = None
        with ThreadPoolExecutor(1) as ahead:
            for chunk in chunks:
                texts = self._chat([*map(self._guarded, _written(chunk))])
                job = chunk, ahead.submit(self._encode_texts, texts)
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

    def _guarded(self, example: Example) -> Example:
        """The example with special tokens in its texts hidden, and without ends of turn at the end of responses."""
        hide = self._specials.hide if self._specials else str

        def hidden(turns: list[Message]) -> list[Message]:
            return [{**turn, "content": hide(turn["content"])} for turn in turns]

        own = per_response(example, "prompts") or []
        meta = {"prompts": [hidden(prompt) for prompt in own]} if own else {}
        responses: list[Any] = [hidden(self._open(turns_of(response))) for response in example.responses]
        return Example(hidden(example.prompt), responses, example.labels, id=example.id, meta=meta)

    def _open(self, turns: list[Message]) -> list[Message]:
        """A response without the ends of turn that its text ends with."""
        content = turns[-1]["content"]
        while (text := content.rstrip()).endswith(self._ends):
            content = text.removesuffix(next(end for end in self._ends if text.endswith(end)))
        return [*turns[:-1], {**turns[-1], "content": content}]

    def _encode_texts(self, rows: Sequence[Texts]) -> list[Tokens]:
        prompts = iter(self._encode([text for row in rows for text in row.prompts]))
        responses = iter(self._responses(rows))
        tokens = []
        for row in rows:
            asked = [next(prompts) for _ in row.prompts]
            asked = [ids if ids[:1] == self._bos else [*self._bos, *ids] for ids in asked]
            tokens.append(Tokens(asked, [self._ended(next(responses)) for _ in row.responses]))
        return tokens

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
        return (self._specials and self._specials.at_end(prompt)) or "\n"

    def _encode(self, texts: list[str]) -> list[Ids]:
        """The ids of texts that the template rendered."""
        if not texts or self._specials is None:
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


def _completed(chunk: Chunk, written: list[Tokens]) -> list[Tokens]:
    """The tokens of all examples of a chunk, from those that `_written` asked for."""
    encoded = iter(written)
    rows = [_tokens_of_ids(example) or next(encoded) for example in chunk]
    for i, example in enumerate(chunk):
        if "rationale_prompt" in example.meta:
            reason = next(encoded)
            rows[i] = replace(rows[i], rationale=(reason.prompt, reason.responses[0]))
    return rows
