"""Copies of the best response that lack more and more of its key words."""

import math
import random
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from alignlab.data.rows import Drop
from alignlab.errors import ConfigError, one_of
from alignlab.types import Example, Message

WORD = re.compile(r"\w+(?:[-'\u2019]\w+)*")
ENGLISH = """
a about above after again all also am an and any are as at away be because been before being below between
both but by can cannot could did do does doing down during each either else even ever every few for from
further get had has have having he her here hers him his how i if in into is it its itself just let like may
me might more most much must my neither no nor not now of off often on once one only onto or other our ours
out over own per quite rather same shall she should since so some such than that the their theirs them then
there these they this those though through thus to too under until up upon us very was we well were what
when where whether which while who whom whose why will with within without would yes yet you your yours
aren't can't couldn't didn't doesn't don't hadn't hasn't haven't he's i'd i'll i'm i've isn't it's let's
she's shouldn't that's there's they'll they're they've wasn't we'll we're we've weren't what's won't
wouldn't you'd you'll you're you've
"""
STOP_WORDS = frozenset(ENGLISH.split())
"""English words that carry no content of their own."""


def degrade(
    example: Example, *, levels: int = 4, choose: str = "longest", keep_others: bool = False, seed: int = 0
) -> Iterator[Example]:
    """The best response and up to `levels - 1` degraded copies of it, as SPO (arXiv:2409.17791) has them.

    Copy j lacks a share j / levels of the distinct key words, wherever they stand. Key words are all but
    common English ones. `choose` says which go first: longest (of equals the rarer, then the earlier)
    or random. A response with fewer key words than copies has fewer copies. Labels fall evenly from
    that of the original toward 0. `keep_others` keeps the other responses, at their own labels. The raw
    scores go: copies have none.

    Raises ConfigError on fewer than 2 levels; drops what has no key words, or no label above 0.
    """
    if levels < 2:
        raise ConfigError(f"pipeline.degrade.levels={levels}: the original and a copy are 2 levels already")
    best = max(range(len(example.labels)), key=lambda i: example.labels[i])
    label = example.labels[best]
    turns = _turns(example.responses[best])
    words = _key_words(turns)
    if one_of("pipeline.degrade.choose", choose, ("longest", "random")) == "random":
        random.Random(f"{seed}/{example.id}").shuffle(words)
    if label <= 0:
        raise Drop("the best label is not above 0: no copy can rank below it")
    copies: list[list[Message] | str] = []
    labels: list[float] = []
    known = 0
    for level in range(1, levels):
        gone = max(known, math.ceil(len(words) * level / levels))
        copy = _without(turns, set(words[:gone]))
        if gone > known and any(WORD.search(turn["content"]) for turn in copy):
            copies.append(copy)
            labels.append(label * (1 - level / levels))
            known = gone
    if not copies:
        raise Drop("the best response has no key words to remove")
    kept = [i for i in range(len(example.labels)) if i == best or keep_others]
    yield replace(
        example,
        responses=[*(example.responses[i] for i in kept), *copies],
        labels=[*(example.labels[i] for i in kept), *labels],
        rewards=None,
    )


def _turns(response: list[Message] | str) -> list[Message]:
    return [{"role": "assistant", "content": response}] if isinstance(response, str) else response


def _key_words(turns: list[Message]) -> list[str]:
    """Distinct key words of the assistant: the longest first, of equals the rarer, then the earlier."""
    texts = [turn["content"] for turn in turns if turn["role"] == "assistant"]
    counts = Counter(_plain(word) for text in texts for word in WORD.findall(text))
    words = [word for word in counts if word not in STOP_WORDS]
    return sorted(words, key=lambda word: (-len(word), counts[word]))


def _plain(word: str) -> str:
    return word.lower().replace("\u2019", "'")


def _without(turns: list[Message], words: set[str]) -> list[Message]:
    """The turns without these words, nor the spaces before them."""

    def cut(match: re.Match[str]) -> str:
        return "" if _plain(match[1]) in words else match[0]

    pattern = re.compile(rf"[ \t]*({WORD.pattern})")
    return [
        {**turn, "content": pattern.sub(cut, turn["content"]).lstrip(" ")}
        if turn["role"] == "assistant"
        else turn
        for turn in turns
    ]
