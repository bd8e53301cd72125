"""Overrides as texts: what they set, and how a text is written so that Hydra reads it back."""

import re
from collections.abc import Sequence


def key_of(override: str) -> str:
    """The key that an override sets.

    >>> key_of("+regularizers.sft.weight=0.1"), key_of("~peft")
    ('regularizers.sft.weight', 'peft')
    """
    return override.lstrip("+~").partition("=")[0]


def quoted(text: str) -> str:
    """A value that Hydra takes for this very text, whatever is in it. Backslashes mean something before a quote only.

    >>> quoted("/a b/it's")
    "'/a b/it\\\\'s'"
    """
    return "'" + re.sub(r"(\\*)('|$)", lambda found: found[1] * 2 + found[2].replace("'", "\\'"), text) + "'"


def without_resume(overrides: Sequence[str]) -> list[str]:
    """Overrides of a run without those that made it go on with another."""
    return [text for text in overrides if key_of(text).partition(".")[0] != "resume"]
