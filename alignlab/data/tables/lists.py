"""Changes the responses of a list together with their labels, rewards and other values that belong to them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from alignlab.signals import DRAWN
from alignlab.types import Example, Message

PER_RESPONSE = ("prompts", "models", "ratings", "critiques", "rationales", *sorted(DRAWN))
"""The entries of meta with one value for each response: its own prompt, its author, its ratings by aspect, a judge's
words on it, the judge's reasons by aspect, and what its sampler told."""


def take(example: Example, places: Sequence[int]) -> Example:
    """The list with the responses at `places`, in this order; a place may come more than once.

    Labels, rewards, the entries `PER_RESPONSE` of meta, and who was preferred to whom (`wins`) follow their responses.

    >>> rated = Example([], ["a", "b"], [0.0, 1.0], meta={"models": ["A", "B"]})
    >>> best = take(rated, [1])
    >>> best.responses, best.labels, best.meta
    (['b'], [1.0], {'models': ['B']})
    """
    meta = dict(example.meta)
    for name in PER_RESPONSE:
        if (values := per_response(example, name)) is not None:
            meta[name] = [values[i] for i in places]
    if (wins := per_response(example, "wins")) is not None:
        meta["wins"] = [[wins[i][j] for j in places] for i in places]
    prompts = per_response(example, "prompts")
    return replace(
        example,
        prompt=example.prompt if prompts is None else prompts[places[0]],
        responses=[example.responses[i] for i in places],
        labels=[example.labels[i] for i in places],
        rewards=None if example.rewards is None else [example.rewards[i] for i in places],
        meta=meta,
    )


def with_copies(
    example: Example,
    keep: Sequence[int],
    of: int,
    copies: Sequence[list[Message] | str],
    labels: Sequence[float],
) -> Example:
    """The list with the responses at places `keep`, then `copies`, changed ones of response `of`, with labels `labels`.

    The result has no raw scores, and nothing that a sampler told, since copies have none.
    """
    taken = take(example, [*keep, *[of] * len(copies)])
    count = len(keep)
    return replace(
        taken,
        responses=[*taken.responses[:count], *copies],
        labels=[*taken.labels[:count], *labels],
        rewards=None,
        meta={name: value for name, value in without_wins(taken).items() if name not in DRAWN},
    )


def per_response(example: Example, name: str) -> list[Any] | None:
    """`meta[name]`, if it is a list with one value for each response; else None."""
    values = example.meta.get(name)
    return values if isinstance(values, list) and len(values) == len(example.responses) else None


def without_wins(example: Example) -> dict[str, Any]:
    """The meta of a list whose labels now tell who was preferred to whom."""
    return {name: value for name, value in example.meta.items() if name != "wins"}


def flipped(example: Example, labels: list[float]) -> Example:
    """The list with flipped labels `labels`: meta["flipped"] is negated, and meta["margins"] change their sign."""
    meta = {**without_wins(example), "flipped": not example.meta.get("flipped", False)}
    if "margins" in meta:
        meta["margins"] = [-margin for margin in meta["margins"]]
    return replace(example, labels=labels, meta=meta)
