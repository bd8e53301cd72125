"""A trial of a chat template, which is a program that came with a model: in a process of its own, within bounds."""

import os
import resource
import signal
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

SECONDS = 5
"""The seconds of a CPU that the rendering of a few conversations may take; templates in use take milliseconds."""
MEMORY = 2 * 2**30
"""The bytes that it may take beyond those of this process."""
ROOM, TIMES = 1_000_000, 20
"""The characters that a template may add to a conversation, and by what it may multiply the conversation's own."""
LONG, LARGE = 3, 4
"""Exit codes of the process in which a template is tried."""


def excess(render: Callable[[], Sequence[str]], size: int) -> str | None:
    """Return in what way a template knows no bounds, as a sentence goes on after "it"; None where it keeps to them.

    `render` renders a few conversations, whose longest has `size` characters. It runs in a process forked from this
    one, whose time and memory the system limits. What it raises is no excess.
    """
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", DeprecationWarning
        )  # of a fork beside threads: the child needs none of them
        child = os.fork()
    if child == 0:
        _tried(render, size)
    until = time.monotonic() + 10 * SECONDS
    status = None
    while status is None:
        ended, state = os.waitpid(child, os.WNOHANG)
        if ended:
            status = state
        elif (
            time.monotonic() > until
        ):  # it does not compute, either: whatever holds it up is not the template
            os.kill(child, signal.SIGKILL)
        else:
            time.sleep(0.001)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU:
        return f"takes more than {SECONDS} s for a few conversations"
    code = os.waitstatus_to_exitcode(status)
    if code == LARGE:
        return f"takes more than {MEMORY / 2**30:.0f} GB of memory for a few conversations"
    return f"writes more than {limit(size)} characters for a conversation of {size}" if code == LONG else None


def limit(size: int) -> int:
    """Return the most characters that a template may write for a conversation of `size` characters.

    >>> limit(100)
    1002000
    """
    return ROOM + TIMES * size


def _tried(render: Callable[[], Sequence[str]], size: int) -> None:
    """Render within the bounds, and end the process."""
    code = 0
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        room = pages * resource.getpagesize() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (room, room))
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 1))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        code = LONG if any(len(text) > limit(size) for text in render()) else 0
    except MemoryError:
        code = LARGE
    except BaseException:
        code = 0
    finally:
        os._exit(code)
