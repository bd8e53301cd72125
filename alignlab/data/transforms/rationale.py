"""Adds the rationale of a preference, as a turn that a policy can learn to write."""

import random
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from alignlab.data.reading.rows import Drop, user
from alignlab.data.tables.lists import per_response
from alignlab.data.transforms.margins import ends
from alignlab.errors import one_of
from alignlab.settings import Seed
from alignlab.types import Example, Message

QUESTION = "Which of these two responses is better, and why?"
JUDGED = {"general": "critiques", "detailed": "rationales"}
"""The entry of meta with a judge's words on each response, by the kind of rationale that is made of it."""


def rationale(
    example: Example,
    *,
    kind: str = "general",
    template: bool = False,
    question: str = QUESTION,
    seed: Seed = 0,
) -> Iterator[Example]:
    """Add meta["rationale_prompt"] (messages) and meta["rationale"] (text) to the row, for rationale objectives.

    The prompt holds the conversation, the question, and the best and the worst response in an order
    drawn anew for each row, so that their places tell nothing; the rationale begins with the place of
    the better one and continues with the row's own meta["rationale"]. A row without one that has a judge's
    words on both responses, as UltraFeedback's have, continues with these: `kind` general takes
    meta["critiques"], detailed the reasons of each aspect in meta["rationales"]. Other rows are dropped, or
    with `template` get a rationale that quotes the labels.

    >>> pair = Example(user("Sky?"), ["It is blue.", "No."], [0.9, 0.4], id="0")
    >>> (row,) = rationale(pair, template=True)
    >>> row.meta["rationale"]
    'Response 1 is better: it is rated 0.9 against 0.4.'
    """
    one_of("pipeline.rationale.kind", kind, JUDGED)
    labels = example.labels
    best, worst = ends(example)
    if labels[best] == labels[worst]:
        raise Drop("all responses have the same label")
    shown = [best, worst]
    random.Random(f"{seed}/{example.id}").shuffle(shown)
    reason = str(example.meta.get("rationale") or "").strip()
    judged = "" if reason else _judged(example, kind, shown)
    if not (reason or judged or template):
        raise Drop("no rationale")
    reason = reason or f"it is rated {labels[best]:.3g} against {labels[worst]:.3g}."
    better = f"Response {shown.index(best) + 1} is better"
    texts = [f"Response {place}: {_text(example.responses[i])}" for place, i in enumerate(shown, 1)]
    system = [turn for turn in example.prompt if turn["role"] == "system"]
    asked = [turn for turn in example.prompt if turn["role"] != "system"]
    meta = {
        "rationale_prompt": [*system, *user("\n\n".join([_text(asked), question, *texts]))],
        "rationale": f"{better}.\n\n{judged}" if judged else f"{better}: {reason}",
    }
    yield replace(example, meta={**example.meta, **meta})


def _judged(example: Example, kind: str, shown: list[int]) -> str:
    """What a judge said of each response that is shown, in that order; empty where one of them has no such words."""
    words = per_response(example, JUDGED[kind])
    said = [_words(words[i]) for i in shown] if words else []
    if not all(said):
        return ""
    return "\n\n".join(f"Response {place}: {text}" for place, text in enumerate(said, 1))


def _words(judged: Mapping[str, Any] | str) -> str:
    """A judge's words as one text; by aspect, each after the name of its aspect."""
    if isinstance(judged, str):
        return judged.strip()
    return "\n".join(f"{aspect.replace('_', ' ').capitalize()}: {text}" for aspect, text in judged.items())


def _text(turns: list[Message] | str) -> str:
    """The text of a turn; several turns are joined, each after the name of its role."""
    if isinstance(turns, str):
        return turns
    if len(turns) == 1:
        return turns[0]["content"]
    return "\n\n".join(f"{turn['role'].capitalize()}: {turn['content']}" for turn in turns)
