"""Adds copies of the best response that lack more and more of its key words."""

import math
import random
import re
from collections import Counter
from typing import Annotated

from alignlab.data.encoding.chat_text import turns_of
from alignlab.data.reading.rows import Drop
from alignlab.data.steps import Lists
from alignlab.data.tables.lists import with_copies
from alignlab.data.transforms.margins import ends
from alignlab.data.transforms.words import STOP_WORDS, WORD, plain
from alignlab.errors import one_of
from alignlab.settings import Seed, whole
from alignlab.types import Example, Message


def degrade(
    example: Example,
    *,
    levels: Annotated[int, whole(2, 100)] = 4,
    choose: str = "longest",
    keep_others: bool = False,
    seed: Seed = 0,
) -> Lists:
    """Keep the best response, and add up to `levels - 1` degraded copies of it, as in SPO (arXiv:2409.17791).

    Copy j lacks a share j / levels of the distinct key words, wherever they stand. Key words are all but
    common English ones. `choose` says which are removed first: longest (of equals the rarer, then the
    earlier) or random. A response with fewer key words than copies has fewer copies. Labels fall evenly from
    that of the original toward 0. `keep_others` keeps the other responses, with their labels. The result has
    no raw scores, since copies have none.

    Drops rows whose best response has no key words, or no label
    above 0.
    """
    one_of("pipeline.degrade.choose", choose, ("longest", "random"))
    best, _ = ends(example)
    label = example.labels[best]
    turns = turns_of(example.responses[best])
    words = _key_words(turns)
    if choose == "random":
        random.Random(f"{seed}/{example.id}").shuffle(words)
    if label <= 0:
        raise Drop("the best label is not above 0: no copy can rank below it")
    copies: list[list[Message] | str] = []
    labels: list[float] = []
    before = 0
    for level in range(1, levels):
        removed = max(before, math.ceil(len(words) * level / levels))
        copy = _without(turns, set(words[:removed]))
        if removed > before and any(WORD.search(turn["content"]) for turn in copy):
            copies.append(copy)
            labels.append(label * (1 - level / levels))
            before = removed
    if not copies:
        raise Drop("the best response has no key words to remove")
    keep = [i for i in range(len(example.labels)) if i == best or keep_others]
    yield with_copies(example, keep, best, copies, labels)


def _key_words(turns: list[Message]) -> list[str]:
    """The distinct key words of the assistant turns: the longest first, of equals the rarer, then the earlier."""
    texts = [turn["content"] for turn in turns if turn["role"] == "assistant"]
    counts = Counter(plain(word) for text in texts for word in WORD.findall(text))
    words = [word for word in counts if word not in STOP_WORDS]
    return sorted(words, key=lambda word: (-len(word), counts[word]))


def _without(turns: list[Message], words: set[str]) -> list[Message]:
    """The turns without the words `words` in those of the assistant, and without the spaces before them."""

    def cut(match: re.Match[str]) -> str:
        return "" if plain(match[1]) in words else match[0]

    pattern = re.compile(rf"[ \t]*({WORD.pattern})")
    return [
        {**turn, "content": pattern.sub(cut, turn["content"]).lstrip(" ")}
        if turn["role"] == "assistant"
        else turn
        for turn in turns
    ]
