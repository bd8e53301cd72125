"""A dataclass of settings is its own schema: names, defaults, types, choices and ranges are read from its fields.

    @dataclass(frozen=True)
    class Pace:
        steps: Positive | None = None               # a whole number from 1 on, or null
        share: Share = 0.1                          # a number from 0 to 1
        layers: Annotated[int, whole(1, 64)] = 2    # a range of its own
        kind: Literal["slow", "fast"] = "slow"      # one of these

The keyword-only parameters of a function that yaml names by `_target_` say their ranges in the same words.
A field that is a `Callable` is a node with a `_target_` in yaml, or the dotted path of a function, or null.
"""

import math
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from alignlab.errors import nearest, printable

Config = Mapping[str, Any]
"""A composed and resolved config, or a node of one, as plain dicts and lists."""
LARGEST = 10**12
"""The largest of all whole numbers, of steps, rows and tokens; what takes work or memory at once has a lower one."""
LONGEST = 100
"""The characters of a value that an error message shows."""


@dataclass(frozen=True)
class Range:
    """The numbers that a setting may have, ends included, and how an error message names them."""

    words: str
    low: int | float = -math.inf
    high: int | float = math.inf

    def holds(self, value: Any) -> bool:
        """Whether a number lies in the range; NaN lies in none."""
        return bool(self.low <= value <= self.high)


@dataclass(frozen=True)
class Form:
    """The texts that a setting may have: those that match a pattern as a whole, and how an error message names them."""

    words: str
    pattern: str

    def holds(self, value: Any) -> bool:
        """Whether a text matches."""
        return re.fullmatch(self.pattern, value, re.DOTALL) is not None


@dataclass(frozen=True)
class Ends:
    """Two numbers, the lower one first, that lie in a range, and how an error message names them."""

    words: str
    low: int | float = -math.inf
    high: int | float = math.inf
    equal: bool = False
    """Whether both ends may be the same number."""

    def holds(self, value: Any) -> bool:
        """Whether a list has two such numbers."""
        if len(value) != 2 or not all(self.low <= end <= self.high for end in value):
            return False
        return bool(value[0] <= value[1] if self.equal else value[0] < value[1])


@dataclass(frozen=True)
class Path:
    """The texts that can be a path of a file system, or the name of one folder, and how an error message names them."""

    words: str
    one: bool = False
    """Whether it is a single name, which leads nowhere else."""

    def holds(self, value: Any) -> bool:
        """Whether a text has no zero byte, is not blank and not too long; and names one folder, if it has to."""
        names = value.split("/")
        sizes = [len(name.encode()) for name in names]
        leads_away = self.one and (len(names) > 1 or value in (".", ".."))
        return (
            bool(value.strip())
            and "\0" not in value
            and max(sizes) <= 255
            and sum(sizes) < 4000
            and not leads_away
        )


Mark = Range | Form | Ends | Path


def whole(low: int, high: int = LARGEST) -> Range:
    """The range of the whole numbers between two, both included.

    >>> whole(1).words, whole(2, 8).words
    ('a whole number from 1 to 10**12', 'a whole number from 2 to 8')
    """
    return Range(f"a whole number from {low} to {'10**12' if high == LARGEST else high}", low, high)


def between(low: int | float, high: int | float) -> Range:
    """The range of the numbers between two, both included.

    >>> between(-1, 1).words
    'a number from -1 to 1'
    """
    return Range(f"a number from {low} to {high}", low, high)


ABOVE_0 = Range("a number above 0", math.ulp(0.0))
BELOW_1 = math.nextafter(1.0, 0.0)
Positive = Annotated[int, whole(1)]
Count = Annotated[int, whole(0)]
Seed = Annotated[int, whole(0, 2**32 - 1)]
PositiveNumber = Annotated[float, ABOVE_0]
AnyNumber = Annotated[float, Range("a number")]
NonNegative = Annotated[float, Range("a number of at least 0", 0.0)]
AtLeastOne = Annotated[float, Range("a number of at least 1", 1.0)]
Share = Annotated[float, Range("a share between 0 and 1", 0.0, 1.0)]
ShareBelowOne = Annotated[float, Range("a share of at least 0 and below 1", 0.0, BELOW_1)]
PositiveShare = Annotated[float, Range("a share above 0, up to 1", math.ulp(0.0), 1.0)]
ErrorRate = Annotated[float, Range("a rate of wrong labels from 0 to 0.5", 0.0, 0.5)]
ErrorRateBelowHalf = Annotated[
    float, Range("a rate of wrong labels of at least 0 and below 0.5", 0.0, math.nextafter(0.5, 0.0))
]
PositiveErrorRate = Annotated[float, Range("a rate of wrong labels above 0, up to 0.5", math.ulp(0.0), 0.5)]
Scale = Annotated[Sequence[float], Ends("[low,high], the ends of a scale")]
ShareRange = Annotated[Sequence[float], Ends("[low,high] between 0 and 1", 0.0, 1.0, equal=True)]
NOT_EMPTY = Form("a text that is not empty", r".+")
Text = Annotated[str, Form("a text that is not empty", r".*\S.*")]
Place = Annotated[str, Path("a path")]
FolderName = Annotated[str, Path("the name of one folder, with no / in it", one=True)]


@dataclass(frozen=True)
class Elsewhere:
    """Marks a field that is built from other settings, and that yaml cannot set."""


WORDS = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    NoneType: "null",
}
LISTS = {str: "a list of texts", float: "a list of numbers", int: "a list of whole numbers"}
"""Types in words, and lists of them."""


@cache
def hints_of(schema: type) -> dict[str, Any]:
    """The type of every field of a dataclass that yaml can set, ranges included."""
    hints = get_type_hints(schema, include_extras=True)
    return {
        name: hint
        for name, hint in hints.items()
        if not any(isinstance(m, Elsewhere) for m in marks_of(hint))
    }


def misfits(config: Config, schema: type, path: str, *, closed: bool = True) -> Iterator[str]:
    """A message for every setting below `path` that is unknown to the dataclass, of a wrong type, or out of range.

    Settings that the dataclass does not know are let through where it is not `closed`.
    """
    hints = hints_of(schema)
    for key, value in config.items():
        where = f"{path}.{key}" if path else str(key)
        if key in hints:
            if message := misfit(value, hints[key]):
                yield f"{where}={typed(value)}: {message}"
        elif closed:
            yield f"{shortened(where)}: no such setting: {nearest(str(key), hints)}"


def typed(value: Any) -> str:
    """A plain value as yaml has it, as far as a message shows it.

    >>> typed(None), typed(True), typed(0.5), typed("x" * 1000)[-9:]
    ('null', 'true', '0.5', 'xxxxxx...')
    """
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int) and abs(value) >= 10**30:
        return f"{'-' * (value < 0)}10**{math.floor(math.log10(abs(value)))} or so"
    try:
        return shortened(str(value))
    except ValueError:  # a list of a number with more digits than Python writes
        return shortened(type(value).__name__)


def shortened(text: str) -> str:
    """A text as far as a message shows it."""
    text = printable(text)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def misfit(value: Any, hint: Any) -> str:
    """What is expected of a value that is not of this type, or out of its range; empty where it fits.

    >>> misfit(0, Positive | None), misfit(None, Positive | None), misfit("x", int | None)
    ('expected a whole number from 1 to 10**12 or null', '', 'expected a whole number or null')
    """
    if fits(value, hint, ranges=True):
        return ""
    options = _options(hint)
    if all(get_origin(option) is Literal for option in options):
        return nearest(typed(value), [str(choice) for option in options for choice in get_args(option)])
    return f"expected {words_of(hint)}{_advice(value, hint)}"


def _advice(value: Any, hint: Any) -> str:
    """What to type instead of a value that looks as if it should fit; empty where there is no such value."""
    options = options_of(hint)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if str in options and is_number:
        return f"; a text that reads otherwise is quoted twice: '\"{typed(value)}\"'"
    if isinstance(value, float) and not math.isfinite(value) and float in options:
        return "; infinity and NaN are none"
    if isinstance(value, float) and value.is_integer() and fits(int(value), hint, ranges=True):
        return f"; write {int(value)}"
    if isinstance(value, list) and any(get_args(option)[:1] == (str,) for option in options):
        numbers = [part for part in value if isinstance(part, (int, float)) and not isinstance(part, bool)]
        return f"; quoted twice, a number is a text: '[\"{typed(numbers[0])}\"]'" if numbers else ""
    if (
        isinstance(value, str)
        and not {str, Any} & {*options}
        and any(fits(n, hint, ranges=True) for n in _read(value))
    ):
        return "; in quotes it is a text"
    return ""


def _read(text: str) -> list[int | float]:
    """The number that a text reads as, as a whole one and as any; empty where it reads as none."""
    numbers: list[int | float] = []
    for kind in (int, float):
        with suppress(ValueError):
            numbers.append(kind(text))
    return numbers


def words_of(hint: Any) -> str:
    """A type, with its range, in the words of an error message.

    >>> words_of(Positive | Literal["auto"]), words_of(list[Share] | None)
    ('a whole number from 1 to 10**12 or auto', 'a list, each a share between 0 and 1 or null')
    """
    return " or ".join(dict.fromkeys(map(_named, _options(hint))))


def fits(value: Any, hint: Any, *, ranges: bool = False) -> bool:
    """Whether a value is of a type, and in its range where `ranges` says that it matters.

    A whole number is a number, and a truth value is not; neither is what no float holds (NaN, infinite, too large).

    >>> fits(3, float), fits(True, int), fits(None, int | None), fits("x", Literal["x", "y"])
    (True, False, True, True)
    >>> fits(0, Positive), fits(0, Positive, ranges=True), fits([2, 3], list[Share], ranges=True)
    (True, False, False)
    """
    kind, options = get_origin(hint), get_args(hint)
    if len(alternatives := _options(hint)) > 1:
        return any(fits(value, option, ranges=ranges) for option in alternatives)
    if kind is Annotated:
        marks = [mark for mark in options[1:] if ranges and isinstance(mark, Mark)]
        return fits(value, options[0], ranges=ranges) and all(mark.holds(value) for mark in marks)
    if kind is Literal:
        return any(value == option and type(value) is type(option) for option in options)
    if kind in (list, Sequence):
        kinds = (list, tuple) if kind is Sequence else list
        return isinstance(value, kinds) and all(fits(part, options[0], ranges=ranges) for part in value)
    if kind is Callable or hint is Callable:
        return value is None or isinstance(value, (str, Mapping))
    if hint in (int, float):
        is_number = isinstance(value, (int, hint)) and not isinstance(value, bool)
        return is_number and (hint is int or -sys.float_info.max <= value <= sys.float_info.max)
    if hint is str:
        return isinstance(value, str) and value == printable(value)
    if hint in (bool, NoneType):
        return isinstance(value, hint)
    if kind is Mapping:
        return isinstance(value, Mapping) and all(
            fits(key, options[0], ranges=ranges) and fits(part, options[1], ranges=ranges)
            for key, part in value.items()
        )
    return True


def options_of(hint: Any) -> list[Any]:
    """The types of a union, without their ranges; a type alone is the one option."""
    return [get_args(option)[0] if get_origin(option) is Annotated else option for option in _options(hint)]


def marks_of(hint: Any) -> list[Any]:
    """What `Annotated` says of a type, of any option of a union, or of the elements of a list."""
    inside = [
        a for option in options_of(hint) if get_origin(option) in (list, Sequence) for a in get_args(option)
    ]
    own = [
        mark for option in _options(hint) if get_origin(option) is Annotated for mark in get_args(option)[1:]
    ]
    return [*own, *(mark for element in inside for mark in marks_of(element))]


def _options(hint: Any) -> list[Any]:
    """The types of a union, with their ranges: a range around a union is that of each of its options."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return [option for argument in arguments for option in _options(argument)]
    if origin is Annotated and get_origin(arguments[0]) in (Union, UnionType):
        return [Annotated[option, *arguments[1:]] for option in options_of(arguments[0])]
    return [hint]


def _named(option: Any) -> str:
    """A type, with its range, in words."""
    origin, arguments = get_origin(option), get_args(option)
    if origin is Literal:
        return ", ".join(str(choice) for choice in arguments)
    if origin is Annotated:
        marks = [mark.words for mark in arguments[1:] if isinstance(mark, Mark)]
        return marks[0] if marks else _named(arguments[0])
    if origin in (list, Sequence) and get_origin(arguments[0]) is Annotated:
        return f"a list, each {_named(arguments[0])}"
    if origin in (list, Sequence):
        return LISTS.get(arguments[0], "a list")
    return WORDS.get(option, "a group of settings")
