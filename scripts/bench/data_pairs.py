"""Synthetic preference pairs of real words, the same each time, and the tokenizer that reads them."""

import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from alignlab.errors import ConfigError
from alignlab.types import Example, Message

ROOT = Path(__file__).parents[2]
LONG = {"prompt": (10, 120), "response": (30, 200)}
"""Words of the pairs that speed is measured on: like single turns of chat data."""
SHORT = {"prompt": (5, 40), "response": (10, 60)}
"""Words of the pairs that memory is measured on, so that a million fit in an hour."""
Span = tuple[int, int]


def pairs(count: int, prompt: Span, response: Span, seed: int = 0) -> Iterator[Example]:
    """Pairs whose prompt and responses have a number of words within these bounds."""
    words = [
        word
        for file in sorted((ROOT / "docs").glob("*.md"))
        for word in re.split(r"(?<=\s)", file.read_text())
        if "<|" not in word  # special tokens in texts are letters here, and special tokens elsewhere
    ]
    draw = random.Random(seed)
    draw.shuffle(words)
    words *= 2

    def text(span: Span) -> str:
        size = draw.randint(*span)
        start = draw.randrange(len(words) // 2)
        return "".join(words[start : start + size]).strip() or "None."

    for number in range(count):
        asked: list[Message] = [{"role": "user", "content": text(prompt)}]
        said: list[Any] = [[{"role": "assistant", "content": text(response)}] for _ in range(2)]
        yield Example(asked, said, [1.0, 0.0], id=f"pair{number}")


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer of a folder; ConfigError where there is none."""
    from transformers import AutoTokenizer

    if not (folder / "tokenizer.json").is_file():
        raise ConfigError(
            f"no tokenizer.json in {folder}: run 'make smollm2', or give another folder with --tokenizer"
        )
    return AutoTokenizer.from_pretrained(folder)
