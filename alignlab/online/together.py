"""What all ranks do together: they draw, each for its share of the prompts, and have what the first one reads."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from alignlab import ranks

A = TypeVar("A")
T = TypeVar("T")


def everywhere(read: Callable[[], T]) -> T:
    """Return what the first rank reads, on all ranks."""
    value: T = ranks.broadcast(read() if ranks.main() else None)
    return value


def together(draw: Callable[[Sequence[A]], Sequence[T]], prompts: Sequence[A]) -> list[T]:
    """Return what `draw` gives for each prompt, in their order, on all ranks; all must call this."""
    shares = [iter(share) for share in ranks.gathered([*draw(prompts[ranks.rank() :: ranks.world()])])]
    return [next(shares[number % len(shares)]) for number in range(len(prompts))]
