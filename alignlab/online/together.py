"""Responses that all ranks draw together: each its share of the prompts."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from alignlab import ranks

A = TypeVar("A")
T = TypeVar("T")


def together(draw: Callable[[Sequence[A]], Sequence[T]], prompts: Sequence[A]) -> list[T]:
    """Return what `draw` gives for each prompt, in their order, on all ranks; all must call this."""
    shares = [iter(share) for share in ranks.gathered([*draw(prompts[ranks.rank() :: ranks.world()])])]
    return [next(shares[number % len(shares)]) for number in range(len(prompts))]
