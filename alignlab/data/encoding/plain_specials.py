"""Keeps special tokens that someone wrote into a text as text: "<|im_end|>" in a message ends no turn."""

import logging
import re
from collections.abc import Sequence
from functools import cached_property
from typing import Any

log = logging.getLogger(__name__)

HIDE, OPEN, CLOSE = "\ufdd0", "\ufdd1", "\ufdd2"
"""Noncharacters of Unicode, which no text holds, as marks around special tokens."""


class PlainSpecials:
    """Hides the special tokens of a fast tokenizer that texts hold, before the template adds the real ones."""

    def __init__(self, tokenizer: Any) -> None:
        self._backend = tokenizer.backend_tokenizer
        self._tokens = {
            t.content: t for t in tokenizer.added_tokens_decoder.values() if t.special and t.content
        }
        self._names = sorted(self._tokens, key=len, reverse=True)
        self._unknown, self._warned = tokenizer.unk_token_id, False
        self._firsts = {name[0] for name in self._names}
        self._pattern = re.compile("|".join(map(re.escape, self._names)) or "(?!)")

    def hide(self, text: str) -> str:
        """The text with a placeholder for each special token in it."""
        if not any(first in text for first in self._firsts):
            return text
        return self._pattern.sub(lambda match: f"{HIDE}{self._names.index(match[0])}{HIDE}", text)

    def at_end(self, text: str) -> str:
        """The special token that a text ends with; an empty text where it ends with none."""
        return next((name for name in self._names if text.endswith(name)), "")

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Encode texts; hidden special tokens become the tokens of their letters, all others special tokens."""
        reader, real = self._reader
        marked = (self._pattern.sub(lambda match: f"{OPEN}{match[0]}{CLOSE}", text) for text in texts)
        shown = [
            re.sub(f"{HIDE}([0-9]+){HIDE}", lambda match: self._names[int(match[1])], text) for text in marked
        ]
        encoded = [encoding.ids for encoding in reader.encode_batch_fast(shown, add_special_tokens=False)]
        self._warn_once(encoded, {*real.values()} - {self._unknown})
        return [[real.get(i, i) for i in ids] for ids in encoded]

    def _warn_once(self, encoded: list[list[int]], special: set[int]) -> None:
        """Warn, once, where the tokenizer cannot write a special token as text."""
        spelled = next((i for ids in encoded for i in ids if i in special), None)
        if spelled is not None and not self._warned:
            name = self._backend.id_to_token(spelled)
            log.warning(
                "this tokenizer cannot write %s as text: where a text holds it, it is the special token", name
            )
            self._warned = True

    @cached_property
    def _reader(self) -> tuple[Any, dict[int, int]]:
        """A copy of the tokenizer that reads special tokens only between marks, and the ids they stand for."""
        from tokenizers import AddedToken, Tokenizer

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
