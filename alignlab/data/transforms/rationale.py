"""Adds the rationale of a preference, as a turn that a policy can learn to write."""

import random
from collections.abc import Iterator
from dataclasses import replace

from alignlab.data.reading.rows import Drop, user
from alignlab.settings import Seed
from alignlab.types import Example, Message

QUESTION = "Which of these two responses is better, and why?"


def rationale(
    example: Example, *, template: bool = False, question: str = QUESTION, seed: Seed = 0
) -> Iterator[Example]:
    """Add meta["rationale_prompt"] (messages) and meta["rationale"] (text) to the row, for rationale objectives.

    The prompt holds the conversation, the question, and the best and the worst response in an order
    drawn anew for each row, so that their places tell nothing; the rationale begins with the place of
    the better one and continues with the row's own meta["rationale"]. Rows without one are dropped, or
    with `template` get one that quotes the labels.

    >>> pair = Example(user("Sky?"), ["It is blue.", "No."], [0.9, 0.4], id="0")
    >>> (row,) = rationale(pair, template=True)
    >>> row.meta["rationale"]
    'Response 1 is better: it is rated 0.9 against 0.4.'
    """
    labels = example.labels
    order = sorted(range(len(labels)), key=lambda i: -labels[i])
    best, worst = order[0], order[-1]
    if labels[best] == labels[worst]:
        raise Drop("all responses have the same label")
    reason = str(example.meta.get("rationale") or "").strip()
    if not reason and not template:
        raise Drop("no rationale")
    shown = [best, worst]
    random.Random(f"{seed}/{example.id}").shuffle(shown)
    reason = reason or f"it is rated {labels[best]:.3g} against {labels[worst]:.3g}."
    texts = [f"Response {place}: {_text(example.responses[i])}" for place, i in enumerate(shown, 1)]
    system = [turn for turn in example.prompt if turn["role"] == "system"]
    asked = [turn for turn in example.prompt if turn["role"] != "system"]
    meta = {
        "rationale_prompt": [*system, *user("\n\n".join([_text(asked), question, *texts]))],
        "rationale": f"Response {shown.index(best) + 1} is better: {reason}",
    }
    yield replace(example, meta={**example.meta, **meta})


def _text(turns: list[Message] | str) -> str:
    """The text of a turn; several turns are joined, each after the name of its role."""
    if isinstance(turns, str):
        return turns
    if len(turns) == 1:
        return turns[0]["content"]
    return "\n\n".join(f"{turn['role'].capitalize()}: {turn['content']}" for turn in turns)
