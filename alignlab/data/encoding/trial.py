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
    one, whose time and memory the system limits. What it raises is no excess, and it goes untried where the system has
    no room for a process, or keeps no record of how one ended.
    """
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", DeprecationWarning
        )  # of a fork beside threads: the child needs none of them
        try:
            child = os.fork()
        except OSError:
            return None
    if child == 0:
        _tried(render, size)
    until = time.monotonic() + 10 * SECONDS
    status = None
    while status is None:
        try:
            ended, state = os.waitpid(child, os.WNOHANG)
        except ChildProcessError:  # whoever started this program had SIGCHLD ignored
            return None
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
    code, room, most = 0, 0, 0
    try:
        signal.signal(signal.SIGXCPU, signal.SIG_DFL)
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        most = pages * resource.getpagesize() + MEMORY
        room = _limited(resource.RLIMIT_AS, most)
        _limited(resource.RLIMIT_CPU, SECONDS)
        _limited(resource.RLIMIT_CORE, 0)
        code = LONG if any(len(text) > limit(size) for text in render()) else 0
    except MemoryError:
        code = LARGE if room == most else 0  # else it met a limit of this machine, as it will again
    except BaseException:
        code = 0
    finally:
        os._exit(code)


def _limited(what: int, most: int) -> int:
    """Limit what this process may take to `most`, or to what it may at all, if that is less; returns the limit."""
    hard = resource.getrlimit(what)[1]
    limited = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(what, (limited, hard))
    return limited
