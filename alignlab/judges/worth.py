"""What a reward function says of one response, as a number and the aspects that it is made of."""

from dataclasses import asdict, is_dataclass
from typing import Any


def worth(found: Any) -> tuple[float, dict[str, float]]:
    """Return reward and aspects: of a number, or of a dataclass whose field `reward` is one.

    The other fields of the dataclass are aspects, but for `length`, which callers measure in tokens.

    >>> worth(2)
    (2.0, {})
    """
    if isinstance(found, type) or not is_dataclass(found):
        number: Any = found
        return float(number), {}
    aspects = {name: float(value) for name, value in asdict(found).items() if name != "length"}
    return aspects.pop("reward"), aspects


def lines_of(prompt: Any) -> str:
    """Return the contents of the prompt's turns, a line each, as reward functions of texts read them."""
    return "\n".join(str(turn.get("content") or "") for turn in prompt)
