"""Keeps special tokens that someone wrote into a text as text: "<|im_end|>" in a message ends no turn."""

import re
from collections.abc import Sequence
from functools import cached_property
from typing import Any

HIDE, OPEN, CLOSE = "\ufdd0", "\ufdd1", "\ufdd2"
"""Noncharacters of Unicode, which no text holds, as marks around special tokens."""


class PlainSpecials:
    """Hides the special tokens of a tokenizer that texts hold, before the template adds the real ones.

    A tokenizer without a backend (a slow one) has no way to read them as text: then nothing is hidden.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._backend = tokenizer.backend_tokenizer if tokenizer.is_fast else None
        self._tokens = {
            t.content: t for t in tokenizer.added_tokens_decoder.values() if t.special and t.content
        }
        self.names = sorted(self._tokens, key=len, reverse=True)
        self._unknown = tokenizer.unk_token_id
        self._firsts = {name[0] for name in self.names}
        self._pattern = re.compile("|".join(map(re.escape, self.names)) or "(?!)")
        self._spelled: dict[str, bool] = {}

    def first_in(self, text: str) -> str:
        """The first special token that a text holds; an empty text where it holds none."""
        if not any(first in text for first in self._firsts):
            return ""
        match = self._pattern.search(text)
        return match[0] if match else ""

    def spells(self, name: str) -> bool:
        """Whether the tokenizer can write a special token as text."""
        if self._backend is None:
            return False
        if name not in self._spelled:
            special = {*self._reader[1].values()} - {self._unknown}
            self._spelled[name] = special.isdisjoint(self.encode([self.hide(name)])[0])
        return self._spelled[name]

    def hide(self, text: str) -> str:
        """The text with a placeholder for each special token in it."""
        if self._backend is None:
            return text
        return self._pattern.sub(lambda match: f"{HIDE}{self.names.index(match[0])}{HIDE}", text)

    def at_end(self, text: str) -> str:
        """The special token that a text ends with; an empty text where it ends with none."""
        return next((name for name in self.names if text.endswith(name)), "")

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Encode texts; hidden special tokens become the tokens of their letters, all others special tokens."""
        reader, real = self._reader
        marked = (self._pattern.sub(lambda match: f"{OPEN}{match[0]}{CLOSE}", text) for text in texts)
        shown = [
            re.sub(f"{HIDE}([0-9]+){HIDE}", lambda match: self.names[int(match[1])], text) for text in marked
        ]
        encoded = [encoding.ids for encoding in reader.encode_batch_fast(shown, add_special_tokens=False)]
        return [[real.get(i, i) for i in ids] for ids in encoded]

    @cached_property
    def _reader(self) -> tuple[Any, dict[int, int]]:
        """A copy of the tokenizer that reads special tokens only between marks, and the ids they stand for."""
        from tokenizers import AddedToken, Tokenizer

        assert self._backend is not None
        reader = Tokenizer.from_str(self._backend.to_str())
        reader.no_truncation()
        reader.no_padding()
        reader.add_tokens(
            [
                AddedToken(f"{OPEN}{name}{CLOSE}", lstrip=t.lstrip, rstrip=t.rstrip, normalized=False)
                for name, t in self._tokens.items()
            ]
        )
        reader.encode_special_tokens = True
        ids = reader.get_vocab()
        return reader, {ids[f"{OPEN}{name}{CLOSE}"]: ids[name] for name in self._tokens}
