"""The dialect of all verbs: bare names, `key=value`, and lists `key=[a,b]`."""

import math
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import yaml

from alignlab.errors import ConfigError, nearest
from alignlab.places import CONF, project_trust


@dataclass(frozen=True)
class Key:
    """A key of a verb: its default, and the function that reads its text (and raises ValueError for a wrong one)."""

    default: Any
    convert: Callable[[str], Any]
    wanted: str
    many: bool = False


def text(default: str | None = None) -> Key:
    """Return a key that takes any text as it stands."""
    return Key(default, str, "text")


def path(default: Path | None = None) -> Key:
    """Return a key that takes a file or folder; `~` is the home of the user."""
    return Key(default, lambda word: Path(word).expanduser(), "a path")


def output(default: Path | None = None) -> Key:
    """Return a key that takes a file or folder to be written, in a folder that is there or can be made."""
    return Key(default, _output, "a path that can be written: a folder above it is none")


def whole(default: int | None, least: int = 1, most: int | None = None) -> Key:
    """Return a key that takes a whole number, not below `least` and not above `most`."""
    wanted = f"a whole number from {least} {'on' if most is None else f'to {most}'}"
    return Key(
        default,
        lambda word: _within(int(word), float(least), math.inf if most is None else float(most)),
        wanted,
    )


def number(default: Any = None, *, positive: bool = False) -> Key:
    """Return a key that takes any finite number, or one above 0."""
    least = math.ulp(0.0) if positive else -sys.float_info.max
    wanted = "a number above 0" if positive else "a number"
    return Key(default, lambda word: _within(float(word), least, sys.float_info.max), wanted)


def share(default: float | None = None) -> Key:
    """Return a key that takes a number above 0 and at most 1."""
    return Key(
        default, lambda word: _within(float(word), math.ulp(0.0), 1.0), "a share: above 0, and at most 1"
    )


def flag(default: bool) -> Key:
    """Return a key that takes true or false."""
    return Key(default, lambda word: {"true": True, "false": False, "": True}[word.lower()], "true or false")


def choice(default: str, options: Sequence[str]) -> Key:
    """Return a key that takes one of these texts."""
    return Key(default, lambda word: options[options.index(word)], " | ".join(options))


def many(key: Key) -> Key:
    """Return a key that takes a list of what `key` takes: `[a,b]`; a single value needs no brackets.

    What stands in quotes is one value, commas included; so is the name of a file or folder that is there.
    """

    def convert(words: str) -> list[Any]:
        if key.wanted == path().wanted and _is_there(words):
            return [key.convert(words)]
        inside = words[1:-1] if words.startswith("[") and words.endswith("]") else words
        parts = _split(inside)
        if key.wanted == path().wanted:
            parts = _joined(parts)
        return [key.convert(_unquoted(part.strip())) for part in parts if part.strip()]

    return Key(key.default, convert, f"{key.wanted}, or a list [a,b] of such", many=True)


def trust() -> Key:
    """Return a key that takes packages which the config of a run folder may name; `alignlab.yaml` may name more."""
    return many(Key([], str, "a package"))


def _split(words: str) -> list[str]:
    """Return the parts between commas that stand outside of quotes; a quote inside of a word is none.

    >>> _split("a,'b,c',d's")
    ['a', "'b,c'", "d's"]
    """
    return re.findall(r"""\s*(?:'[^']*'|"[^"]*")\s*(?=,|$)|[^,]+""", words)


def _joined(parts: Sequence[str]) -> list[str]:
    """Return the parts, in which neighbours that name a file or folder only together are one."""
    left, whole = list(parts), []
    while left:
        ends = range(len(left), 1, -1)
        count = next((end for end in ends if _is_there(",".join(left[:end]).strip())), 1)
        whole.append(",".join(left[:count]))
        left = left[count:]
    return whole


def _unquoted(word: str) -> str:
    return word[1:-1] if len(word) > 1 and word[0] == word[-1] in ("'", '"') else word


def _is_there(word: str) -> bool:
    try:
        return bool(word) and Path(word).expanduser().exists()
    except (OSError, RuntimeError):  # a name too long, the home of nobody
        return False


@dataclass(frozen=True)
class Words:
    """The words typed after a verb: names, the verb's own keys (an attribute each), and overrides of the config."""

    names: list[str]
    own: SimpleNamespace
    overrides: list[str]


def read(words: Sequence[str], keys: Mapping[str, Key], *, overrides: bool = False, names: int = 0) -> Words:
    """Read the words after a verb that takes these keys, so many names, and overrides of the config if it says so.

    `--key value` is read as `key=value`. Raises ConfigError on a word that the verb does not know, with the nearest.
    """
    bare: list[str] = []
    others: list[str] = []
    own = {name: key.default for name, key in keys.items()}
    for word in _without_dashes(words, keys):
        name, equals, value = word.partition("=")
        if name in keys and equals:
            own[name] = _converted(name, value, keys[name])
        elif not equals and len(bare) < names:
            bare.append(word)
        elif overrides and equals:
            others.append(_known(word, keys))
        else:
            raise ConfigError(f"'{word}': expected key=value; {nearest(name, keys)}")
    if "trust" in keys:
        own["trust"] = [*own["trust"], *project_trust(Path.cwd())]
    return Words(bare, SimpleNamespace(**own), others)


def _converted(name: str, value: str, key: Key) -> Any:
    try:
        return key.convert(value)
    except (ValueError, KeyError):
        options = key.wanted.split(" | ")
        hint = nearest(value, options) if len(options) > 1 else f"expected {key.wanted}"
        raise ConfigError(f"{name}={value}: {hint}") from None


def _known(override: str, keys: Mapping[str, Key]) -> str:
    """Return the override; raises ConfigError where its first word looks like a misspelt key of the verb."""
    first = override.partition("=")[0].partition(".")[0].partition("@")[0].partition("/")[0]
    if first.startswith(("+", "~")) or first == "hydra":
        return override
    config = {*yaml.safe_load((CONF / "train.yaml").read_text(encoding="utf-8"))}
    config |= {folder.name for folder in CONF.iterdir() if folder.is_dir()} | {"sweeps"}
    if first not in config and get_close_matches(first, keys, n=1, cutoff=0.6):
        raise ConfigError(f"there is no '{first}': {nearest(first, keys)}")
    return override


def _within(value: Any, least: float, most: float) -> Any:
    if not least <= value <= most:
        raise ValueError
    return value


def _output(word: str) -> Path:
    where = Path(word).expanduser()
    above = next(folder for folder in where.absolute().parents if folder.exists())
    if not word or not above.is_dir() or not os.access(above, os.W_OK):
        raise ValueError
    return where


def _without_dashes(words: Sequence[str], keys: Mapping[str, Key]) -> list[str]:
    """Return the words with `--key value ...` and `--no-key` rewritten as `key=value`."""
    left, plain = list(words), []
    while left:
        word = left.pop(0)
        name, equals, value = word.removeprefix("--").partition("=")
        name = name.replace("-", "_")
        if not word.startswith("--"):
            plain.append(word)
        elif name.startswith("no_") and name.removeprefix("no_") in keys:
            plain.append(f"{name.removeprefix('no_')}=false")
        elif name not in keys:
            raise ConfigError(f"'{word}': {nearest(name, keys)}")
        elif equals or isinstance(keys[name].default, bool):
            plain.append(f"{name}={value}")
        else:
            values = [left.pop(0)] if left else []
            while keys[name].many and left and "=" not in left[0] and not left[0].startswith("--"):
                values.append(left.pop(0))
            plain.append(f"{name}={','.join(values)}")
    return plain
