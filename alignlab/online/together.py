"""Responses that all ranks draw together: each its share of the prompts."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from alignlab import ranks
from alignlab.sampling.rollout import Prompt

T = TypeVar("T")


def together(draw: Callable[[Sequence[Prompt]], Sequence[T]], prompts: Sequence[Prompt]) -> list[T]:
    """Return what `draw` gives for each prompt, in their order, on all ranks; all must call this."""
    shares = [iter(share) for share in ranks.gathered([*draw(prompts[ranks.rank() :: ranks.world()])])]
    return [next(shares[number % len(shares)]) for number in range(len(prompts))]
