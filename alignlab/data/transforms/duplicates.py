"""Drops rows that an earlier row already holds, up to case and white space."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

from alignlab.data.reading.rows import Dropped
from alignlab.data.transforms.texts import prompts
from alignlab.errors import one_of
from alignlab.types import Example, Message

BY = ("prompt", "row", "responses")


def filter_duplicates(examples: Sequence[Example], *, by: str = "row") -> Iterator[Example | Dropped]:
    """Keep the first of the rows that are equal but for case and white space.

    `row` compares the prompt and the responses from the best to the worst, so that two raters who
    disagree are no duplicates; `responses` leaves out the prompt, `prompt` the responses (put it before
    pipeline steps that make several rows of one list). The result depends on the order of the rows. The memory is
    about 100 bytes for each row.
    """
    keys: set[bytes] = set()
    one_of("pipeline.filter_duplicates.by", by, BY)
    for example in examples:
        key = _key(example, by)
        if key in keys:
            yield Dropped(example.id, f"duplicate of an earlier row, by {by}")
        else:
            keys.add(key)
            yield example


def _key(example: Example, by: str) -> bytes:
    """The hash of what is compared, of 128 bits: among a million rows two collide with a chance of 1e-27."""
    asked = [_normal(prompt) for prompt in prompts(example)]
    if len(asked) == 1:  # the same prompt for all
        asked *= len(example.responses)
    parts = zip([-label for label in example.labels], asked, map(_normal, example.responses), strict=True)
    ranked = sorted(parts)
    shown = {
        "prompt": sorted({prompt for _, prompt, _ in ranked}),
        "responses": [response for *_, response in ranked],
        "row": [[prompt, response] for _, prompt, response in ranked],
    }[by]
    return hashlib.blake2b(json.dumps(shown).encode(), digest_size=16).digest()


def _normal(turns: list[Message] | str) -> str:
    if isinstance(turns, str):
        turns = [{"role": "assistant", "content": turns}]
    lines = [[turn["role"], _beside(turn), *turn["content"].casefold().split()] for turn in turns]
    return json.dumps(lines, sort_keys=True)


def _beside(turn: Message) -> dict[str, Any]:
    """What a turn says beside its content: thoughts, calls of tools."""
    return {key: value for key, value in turn.items() if key not in ("role", "content")}
