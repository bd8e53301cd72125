"""What belongs to the responses of a list, and goes with them when some leave or change places."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from alignlab.types import Example, Message

PER_RESPONSE = ("prompts", "models", "ratings")
"""Entries of meta with one value a response: its own prompt, who wrote it, what it got in several aspects."""


def take(example: Example, places: Sequence[int]) -> Example:
    """The list with the responses at these places, in this order; a place may come more than once.

    Labels, rewards and what meta holds of each response (`PER_RESPONSE`) follow their responses.

    >>> rated = Example([], ["a", "b"], [0.0, 1.0], meta={"models": ["A", "B"]})
    >>> made = take(rated, [1])
    >>> made.responses, made.labels, made.meta
    (['b'], [1.0], {'models': ['B']})
    """
    meta = dict(example.meta)
    for name in PER_RESPONSE:
        if (values := per_response(example, name)) is not None:
            meta[name] = [values[i] for i in places]
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
    """The responses at `keep`, then changed copies of response `of`, at labels of their own.

    The raw scores go: copies have none.
    """
    longer = take(example, [*keep, *[of] * len(copies)])
    count = len(keep)
    return replace(
        longer,
        responses=[*longer.responses[:count], *copies],
        labels=[*longer.labels[:count], *labels],
        rewards=None,
    )


def per_response(example: Example, name: str) -> list[Any] | None:
    """That entry of meta, if it is a list with one value a response; else None."""
    values = example.meta.get(name)
    return values if isinstance(values, list) and len(values) == len(example.responses) else None


def flipped(example: Example, labels: list[float]) -> Example:
    """The list with labels that say the contrary; meta["flipped"] turns over, meta["margins"] turn their sign."""
    meta = {**example.meta, "flipped": not example.meta.get("flipped", False)}
    if "margins" in meta:
        meta["margins"] = [-margin for margin in meta["margins"]]
    return replace(example, labels=labels, meta=meta)
