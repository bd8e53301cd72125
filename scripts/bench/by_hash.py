"""A judge whose rewards tell nothing, take no time, and tie no two different responses."""

import zlib
from collections.abc import Sequence


def of_text(text: str) -> float:
    """Return a number in [0, 1) that the text settles."""
    return zlib.crc32(text.encode()) / 2**32


def rewards(prompts: Sequence[object], responses: Sequence[str]) -> list[float]:
    """Return a number for each response, as `judge.function` wants it."""
    return [of_text(response) for response in responses]
