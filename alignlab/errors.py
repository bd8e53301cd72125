"""Errors that a user can act on: every message names the problem, its place, and the way out."""

from collections.abc import Iterable
from difflib import get_close_matches


class AlignlabError(Exception):
    """Base of every error that alignlab raises on purpose."""


class ConfigError(AlignlabError):
    """A setting that cannot work, raised before anything is loaded."""


class DataError(AlignlabError):
    """Preference data that cannot be used; the message names the file, the row and the column."""


class RunError(AlignlabError):
    """A run that must stop: a failed rail, a non-finite loss, a folder that cannot be written."""


class OwnCodeError(AlignlabError):
    """An exception of a function that a config names; the message has its line, and the cause is the exception."""


def printable(text: str) -> str:
    """`text` with half a surrogate pair spelled out, so that any file and terminal takes it."""
    return text.encode("utf-8", "backslashreplace").decode()


def nearest(name: str, valid: Iterable[str]) -> str:
    """The hint that ends a message about a wrong name: the nearest valid one, or all of them.

    >>> nearest("chosen_logp", ["chosen_logps", "labels"])
    "did you mean 'chosen_logps'?"
    """
    options = sorted(valid)
    if len(begun := [option for option in options if option.startswith(f"{name}-")]) > 1:
        return f"did you mean {' or '.join(map(repr, begun))}?"
    in_other_case = [option for option in options if option.lower() == name.lower()]
    if close := get_close_matches(name, options, n=1, cutoff=0.6) or in_other_case:
        return f"did you mean '{close[0]}'?"
    return f"valid names: {', '.join(options)}" if options else "there is none to choose from"


def one_of(key: str, value: str, valid: Iterable[str]) -> str:
    """`value`, if it is one of the valid names; ConfigError with the nearest one otherwise."""
    if value not in (options := tuple(valid)):
        raise ConfigError(f"{key}={value}: {nearest(value, options)}")
    return value
