"""Adds a negative that ignores part of the prompt's context, made without a model, by removing sentences."""

import random
from dataclasses import replace

from alignlab.data.encoding.chat_text import turns_of
from alignlab.data.reading.rows import Drop
from alignlab.data.steps import Lists
from alignlab.data.tables.lists import per_response, take, with_copies
from alignlab.data.transforms.margins import ends
from alignlab.data.transforms.words import SENTENCE, content_words
from alignlab.errors import one_of
from alignlab.settings import PositiveShare, Seed
from alignlab.types import Example, Message


def context_dropout_negatives(
    example: Example,
    *,
    side: str = "response",
    rate: PositiveShare = 0.5,
    keep_others: bool = False,
    seed: Seed = 0,
) -> Lists:
    """Keep the best response, and add a negative labelled 0 that lacks what a part of the context says.

    BDHS (arXiv:2407.02477) rewrites a good answer with image tokens hidden. Here each sentence of the user's
    turns, but for the last of a turn, which most often asks, is hidden with probability `rate` (at least
    one is). Then with `side`

    response  the negative is the best response without the sentences that need what was hidden: those
              with a content word that the hidden sentences have, and the rest of the prompt has not
    prompt    it is the best response itself, after the prompt without the hidden sentences
              (meta["prompts"]): the conditional preference of mDPO, for `objective=dove`

    `keep_others` keeps the other responses, with their labels. The result has no raw scores.

    Drops prompts of one sentence, and responses of which nothing, or all, needs what was hidden.
    """
    one_of("pipeline.context_dropout_negatives.side", side, ("response", "prompt"))
    best, _ = ends(example)
    if example.labels[best] <= 0:
        raise Drop("the best label is not above 0: no negative can rank below it")
    prompt = take(example, [best]).prompt
    response = turns_of(example.responses[best])
    hidden = hidden_sentences(prompt, rate, random.Random(f"context_dropout_negatives/{seed}/{example.id}"))
    short = without_sentences(prompt, "user", hidden)
    negative = response
    if side == "response":
        lost = content_words(" ".join(hidden)) - content_words(" ".join(turn["content"] for turn in short))
        sentences = {text for turn in response for text in SENTENCE.findall(turn["content"])}
        negative = without_sentences(
            response, "assistant", {text for text in sentences if content_words(text) & lost}
        )
        if negative == response:
            raise Drop("no sentence of the best response needs the hidden context")
        if not any(turn["content"] for turn in negative if turn["role"] == "assistant"):
            raise Drop("every sentence of the best response needs the hidden context")
    keep = [i for i in range(len(example.labels)) if i == best or keep_others]
    result = with_copies(example, keep, best, [negative], [0.0])
    if side == "prompt":
        prompts = per_response(result, "prompts") or [prompt] * len(result.labels)
        result = replace(result, meta={**result.meta, "prompts": [*prompts[:-1], short]})
    yield result


def hidden_sentences(prompt: list[Message], rate: float, draw: random.Random) -> set[str]:
    """Return the sentences of the user's turns to hide: each but the last of a turn with probability `rate`, or one.

    Raises Drop for prompts of one sentence.
    """
    turns = [SENTENCE.findall(turn["content"]) for turn in prompt if turn["role"] == "user"]
    last_sentences = {turn[-1] for turn in turns if turn}
    context = [text for turn in turns for text in turn[:-1] if text not in last_sentences]
    if not context:
        raise Drop("the prompt has no sentence but its last: there is no context to hide")
    return {text for text in context if draw.random() < rate} or {draw.choice(context)}


def without_sentences(turns: list[Message], role: str, removed: set[str]) -> list[Message]:
    """Return the turns without the sentences `removed` in those of `role`, and without the blanks before them."""
    return [
        {**turn, "content": _cut(turn["content"], removed)} if turn["role"] == role else turn
        for turn in turns
    ]


def _cut(text: str, removed: set[str]) -> str:
    remaining, end = "", 0
    for match in SENTENCE.finditer(text):
        if match[0] not in removed:
            remaining += text[end : match.end()]
        end = match.end()
    return (remaining + text[end:]).strip() if len(remaining) < end else text
