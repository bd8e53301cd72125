"""Exceptions of functions that a config names: told in one message, with the line of their author's that raised."""

import inspect
import sysconfig
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from traceback import FrameSummary
from typing import Any

from alignlab.errors import AlignlabError, OwnCodeError

OURS = Path(__file__).resolve().parent
LIBRARIES = [Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")]


@contextmanager
def named(
    what: str, function: Callable[..., Any], passing: tuple[type[Exception], ...] = ()
) -> Iterator[None]:
    """Turn an exception that a function raises meanwhile into OwnCodeError, which names the function as `what`.

    Errors of alignlab, a lack of memory, and those `passing`, are left as they are.
    """
    left: tuple[type[Exception], ...] = (AlignlabError, MemoryError, *passing)
    try:
        yield
    except left:
        raise
    except Exception as error:
        frame = own_frame(error) or _frame_beside(error, unwrapped(function))
        raise OwnCodeError(described(what, error, frame)) from error


def unwrapped(function: Any) -> Any:
    """The function under bound options (`functools.partial`)."""
    while isinstance(function, partial):
        function = function.func
    return function


def name_of(function: Any) -> str:
    """The dotted path of a function, of a class, or of an object's class."""
    function = unwrapped(function)
    function = function if hasattr(function, "__qualname__") else type(function)
    return f"{function.__module__}.{function.__qualname__}"


def is_ours(function: Any) -> bool:
    """Whether a function, a class or an object is of alignlab."""
    return name_of(function).partition(".")[0] == OURS.name


def own_frame(error: BaseException) -> FrameSummary | None:
    """The innermost frame of a traceback in a file that belongs to its user: neither alignlab's, nor a library's.

    Frames outside of alignlab's first one do not count, since they started the program. None where there is none.
    """
    frames = traceback.extract_tb(error.__traceback__)
    first = next((place for place, frame in enumerate(frames) if _in(frame, [OURS])), len(frames))
    own = [frame for frame in frames[first:] if not _in(frame, [OURS, *LIBRARIES]) and _is_file(frame)]
    return own[-1] if own else None


def described(what: str, error: BaseException, frame: FrameSummary | None) -> str:
    """The message for an exception: what raised it, its type and text, and the line where it arose."""
    place = "" if frame is None else f"\n  {frame.filename}:{frame.lineno}, in {frame.name}: {frame.line}"
    return f"{what}: {type(error).__name__}: {error}{place}\nHYDRA_FULL_ERROR=1 shows the whole traceback"


def _frame_beside(error: BaseException, function: Any) -> FrameSummary | None:
    """The innermost frame in the folder of a function that lies in alignlab, or was installed as a library."""
    function = function if inspect.isroutine(function) or inspect.isclass(function) else type(function)
    try:
        folder = Path(inspect.getfile(inspect.unwrap(function))).parent
    except TypeError:  # a builtin
        return None
    return next((f for f in reversed(traceback.extract_tb(error.__traceback__)) if _in(f, [folder])), None)


def _in(frame: FrameSummary, folders: list[Path]) -> bool:
    file = Path(frame.filename)
    return any(file.is_relative_to(folder) for folder in folders)


def _is_file(frame: FrameSummary) -> bool:
    return not frame.filename.startswith("<")
