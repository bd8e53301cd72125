"""A dataclass of settings is its own schema: names, defaults, types, choices and ranges are read from its fields.

    @dataclass(frozen=True)
    class Pace:
        steps: Positive | None = None               # a whole number above 0, or null
        share: Share = 0.1                          # a number between 0 and 1
        kind: Literal["slow", "fast"] = "slow"      # one of these

A field that is a `Callable` is a node with a `_target_` in yaml, or the dotted path of a function, or null.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from alignlab.errors import nearest

Config = Mapping[str, Any]
"""A composed and resolved config, or a node of one, as plain dicts and lists."""


@dataclass(frozen=True)
class Range:
    """The numbers that a setting may have, ends included, and how an error message names them."""

    words: str
    low: float
    high: float = math.inf

    def holds(self, value: Any) -> bool:
        """Whether a value lies in the range; what is no number is none of its business."""
        return (
            not isinstance(value, (int, float)) or isinstance(value, bool) or self.low <= value <= self.high
        )


ABOVE_0 = Range("a number above 0", math.ulp(0.0))
AT_LEAST_0 = Range("a number of at least 0", 0.0)
Positive = Annotated[int, ABOVE_0]
PositiveNumber = Annotated[float, ABOVE_0]
Count = Annotated[int, AT_LEAST_0]
Seed = Annotated[int, Range("a whole number from 0 to 4294967295", 0.0, 2.0**32 - 1)]
NonNegative = Annotated[float, AT_LEAST_0]
Share = Annotated[float, Range("a share between 0 and 1", 0.0, 1.0)]
ShareBelowOne = Annotated[float, Range("a share of at least 0 and below 1", 0.0, math.nextafter(1.0, 0.0))]


@dataclass(frozen=True)
class Elsewhere:
    """Marks a field that is built from other settings, and that yaml cannot set."""


WORDS = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    NoneType: "null",
    list[str]: "a list of texts",
    list[int | float]: "a list of numbers",
}


def hints_of(schema: type) -> dict[str, Any]:
    """The type of every field of a dataclass that yaml can set, ranges included."""
    hints = get_type_hints(schema, include_extras=True)
    return {
        name: hint for name, hint in hints.items() if not any(isinstance(m, Elsewhere) for m in _marks(hint))
    }


def misfits(config: Config, schema: type, path: str, *, closed: bool = True) -> Iterator[str]:
    """A message for every setting below `path` that is unknown to the dataclass, of a wrong type, or out of range.

    Settings that the dataclass does not know are let through where it is not `closed`.
    """
    hints = hints_of(schema)
    for key, value in config.items():
        where = f"{path}.{key}" if path else key
        if key in hints:
            if message := misfit(value, hints[key]):
                yield f"{where}={typed(value)}: {message}"
        elif closed:
            yield f"{where}: no such setting: {nearest(key, hints)}"


def typed(value: Any) -> str:
    """A plain value as yaml has it.

    >>> typed(None), typed(True), typed(0.5)
    ('null', 'true', '0.5')
    """
    return (
        {None: "null", True: "true", False: "false"}[value]
        if value is None or isinstance(value, bool)
        else str(value)
    )


def misfit(value: Any, hint: Any) -> str:
    """What is expected of a value that is not of this type; empty where it is.

    >>> misfit(0, Positive | None), misfit(None, Positive | None), misfit("x", int | None)
    ('expected a number above 0', '', 'expected a whole number or null')
    """
    if fits(value, hint):
        outside = [mark for mark in _marks(hint) if isinstance(mark, Range) and not mark.holds(value)]
        return f"expected {outside[0].words}" if outside else ""
    options = options_of(hint)
    if all(get_origin(option) is Literal for option in options):
        return nearest(str(value), [str(choice) for option in options for choice in get_args(option)])
    text = (
        f"; a text that reads otherwise is quoted twice: '\"{typed(value)}\"'"
        if str in options and _plain(value)
        else ""
    )
    return "expected " + " or ".join(_named(option) for option in options) + text


def fits(value: Any, hint: Any) -> bool:
    """Whether a value is of a type; a whole number is a number, a truth value is not. Ranges are not looked at.

    >>> fits(3, float), fits(True, int), fits(None, int | None), fits("x", Literal["x", "y"])
    (True, False, True, True)
    """
    kind, options = get_origin(hint), get_args(hint)
    if kind in (Union, UnionType):
        return any(fits(value, option) for option in options)
    if kind is Annotated:
        return fits(value, options[0])
    if kind is Literal:
        return any(value == option and type(value) is type(option) for option in options)
    if kind is list:
        return isinstance(value, list) and all(fits(element, *options) for element in value)
    if kind is Callable or hint is Callable:
        return value is None or isinstance(value, (str, Mapping))
    if hint in (int, float):
        return isinstance(value, (int, hint)) and not isinstance(value, bool) and math.isfinite(value)
    if hint in (bool, str, NoneType):
        return isinstance(value, hint)
    return isinstance(value, Mapping) if kind is Mapping else True


def options_of(hint: Any) -> list[Any]:
    """The types of a union, without their ranges; a type alone is the one option."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return options_of(arguments[0])
    if origin in (Union, UnionType):
        return [option for argument in arguments for option in options_of(argument)]
    return [hint]


def _plain(value: Any) -> bool:
    return isinstance(value, (int, float))


def _marks(hint: Any) -> list[Any]:
    """What `Annotated` says of a type, or of any option of a union."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return list(arguments[1:])
    if origin in (Union, UnionType):
        return [mark for argument in arguments for mark in _marks(argument)]
    return []


def _named(option: Any) -> str:
    if get_origin(option) is Literal:
        return ", ".join(str(choice) for choice in get_args(option))
    return WORDS.get(option, "a group of settings")
