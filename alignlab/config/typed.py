"""Overrides as they are typed, read before Hydra composes: what it cannot read is told with the quoting that works."""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override, QuotedString
from hydra.errors import HydraException

from alignlab.errors import ConfigError, printable
from alignlab.places import CONF, SWEEPS, choices
from alignlab.runs.overrides import key_of, quoted
from alignlab.settings import shortened

MULTI_SELECT = ("regularizers", "modifiers", "pipeline", "logger")
TOGETHER = (*MULTI_SELECT, "experiment", "debug")
"""The groups of which several files may be chosen at once."""
DASHED = re.compile(r"--?(?P<key>[A-Za-z_][\w.]*)(?P<value>=.*)?", re.DOTALL)
"""A word with dashes that may be meant as a setting; what else has dashes is an option of Hydra."""
UNREADABLE = (HydraException, ValueError)
"""What the parser raises; ValueError for a number of more digits than Python reads."""
SHARED = {"data": {"knobs"}}
"""The files of a group that others include, and that are no choice of their own."""


def parsed(overrides: Sequence[str]) -> list[Override]:
    """Read overrides by Hydra's grammar; raises ConfigError for the first that it does not take, with a way to type it.

    Whether it names what there is shows when it is composed.
    """
    parser = OverridesParser.create()
    read = []
    for text in overrides:
        if text != printable(text):
            raise ConfigError(f"'{printable(text)}': expected text in UTF-8")
        try:
            override = parser.parse_override(text)
        except UNREADABLE:
            raise ConfigError(unread(text)) from None
        require_choice(override, text)
        read.append(override)
    return read


def require_typed(words: Sequence[str]) -> None:
    """Raise ConfigError where a word of a command line is an override that Hydra would not take."""
    for word in words:
        if (dashed := DASHED.fullmatch(word)) and _is_setting(dashed["key"]):
            value = dashed["value"] or "=..."
            raise ConfigError(f"'{word}': settings are typed without dashes: {dashed['key']}{value}")
    parsed([word for word in words if not word.startswith("-") and ("=" in word or word.startswith("~"))])


def unread(text: str) -> str:
    """The message for an override that Hydra's grammar does not take.

    >>> print(unread("data.path=a=1.jsonl"))
    data.path=a=1.jsonl cannot be read: where the value is a text, quote it: 'data.path="a=1.jsonl"'
    """
    key, equals, value = text.partition("=")
    if not equals:
        return f"'{text}': expected key=value"
    if key != key.strip():
        plain = shlex.quote(f"{key.strip()}={value.strip()}")
        return f"'{text}': write it without spaces around the =, as in {plain}"
    if way := of_ones_own(key, value):
        return f"{text} names no choice: {way}"
    if value[:1] in ("[", "{"):
        inside = shlex.quote(f'{key}=["a=b",c]')
        return f"{text} cannot be read: close the bracket, and quote texts in it that hold other signs, as in {inside}"
    return f"{text} cannot be read: where the value is a text, quote it: {as_typed(key, value)}"


def of_ones_own(group: str, name: str) -> str:
    """The way to files or a model of one's own, where a name was typed for them in place of a choice; else empty.

    >>> of_ones_own("data", "/my/pairs.jsonl")
    'files of your own are data=local data.path=/my/pairs.jsonl'
    """
    if group == "model":
        return f"a model folder or a name on the hub is model=local {as_typed('model.path', name)}"
    if group == "data" and (set(name) & {"/", ".", "~", "\\"} or is_place(name)):
        return f"files of your own are data=local {as_typed('data.path', name)}"
    return ""


def as_typed(key: str, value: str) -> str:
    """An override that sets a key to this very text, as it is typed in a shell.

    >>> print(as_typed("data.path", "/my/pairs.jsonl"), as_typed("data.path", "a,b"))
    data.path=/my/pairs.jsonl 'data.path="a,b"'
    """
    plain = f"{key}={value}"
    try:
        if "${" not in value and OverridesParser.create().parse_override(plain).value() == value:
            return shlex.quote(plain)
    except UNREADABLE:
        pass
    return shlex.quote(f"{key}={quoted(value, mark=chr(34))}")


def require_choice(override: Override, text: str) -> None:
    """Raise ConfigError where a config group is set to what names no choice: a number, a node, or null."""
    group, chosen = key_of(text).partition("@")[0], _chosen(override)
    if not group:
        raise ConfigError(f"'{text}': the key before = is missing")
    if not (is_place(str(CONF / group)) or group == "sweeps" or group.startswith("hydra/")):
        return
    if override.is_delete():
        if not all(isinstance(choice, str | None) for choice in chosen):
            raise ConfigError(f"{text}: expected ~{group}, or ~{group}=CHOICE")
        return
    for choice in chosen:
        several = choice if isinstance(choice, list) and group in TOGETHER else [choice]
        if all(isinstance(name, str | QuotedString) and 0 < len(_text(name)) < 256 for name in several):
            continue
        if group.startswith("hydra/"):
            raise ConfigError(f"{shortened(text)}: expected the name of a choice")
        empty = f"; for none, {group}=[]" if group in MULTI_SELECT else ""
        raise ConfigError(f"{shortened(text)}: expected a choice, of {', '.join(options(group))}{empty}")


def _text(name: str | QuotedString) -> str:
    return name.text if isinstance(name, QuotedString) else name


def options(group: str) -> list[str]:
    """Return the choices of a config group."""
    if group == "sweeps":
        return kept_sweeps()
    return [name for name in choices(group) if name not in SHARED.get(group, ())]


def kept_sweeps() -> list[str]:
    """Return the sweeps that have a file, for `sweeps=NAME`."""
    return sorted(file.stem for file in SWEEPS.glob("*.yaml"))


def _is_setting(key: str) -> bool:
    return "." in key or "_" in key or is_place(str(CONF / key))


def is_place(name: str) -> bool:
    """Whether a text is the path of a file or folder that is there; one too long for a path is none."""
    try:
        return Path(name).exists()
    except (OSError, ValueError):
        return False


def _chosen(override: Override) -> list[Any]:
    """The values of an override: one, or those that a sweep lists."""
    if not override.is_sweep_override():
        return [override.value()]
    sweep = override.value()
    return list(sweep.list) if isinstance(sweep, ChoiceSweep) else []
