"""How a run is asked to stop, by SIGTERM, SIGUSR1 or Ctrl-C, and what it does then."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from threading import Timer
from typing import Any

from alignlab import ranks

SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)


class Stopped(BaseException):
    """A signal ended the run where it stood. No `Exception`, so that nothing on the way takes it for a failure."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by signal {number}")
        self.number = number


class Listener:
    """Notes the first signal, to be acted on between steps; a second Ctrl-C raises `Stopped` at once."""

    def __init__(self) -> None:
        self.asked: int | None = None
        self._previous: dict[int, Any] = {}

    def start(self) -> None:
        """Handle SIGTERM, SIGUSR1 and SIGINT from now on."""
        self._previous = {number: signal.signal(number, in_this_process(self._note)) for number in SIGNALS}

    def agreed(self) -> int | None:
        """The signal that any rank got, or None. All ranks must call this at the same time."""
        if ranks.world() > 1:
            self.asked = max(filter(None, ranks.gathered(self.asked)), default=None)
        return self.asked

    def end(self) -> None:
        """Give the signals back to the handlers that they had before."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}

    def _note(self, number: int) -> None:
        if number == signal.SIGINT and self.asked is not None:
            raise Stopped(number)
        self.asked = number


@contextmanager
def stopped_at_once() -> Iterator[None]:
    """A signal raises `Stopped` wherever the program is: for work whose results are kept whole or not at all."""
    before = {number: signal.signal(number, in_this_process(_stop)) for number in SIGNALS}
    otherwise = sys.unraisablehook
    sys.unraisablehook = partial(_again, otherwise)
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)  # a job of a cluster begins with them held back
        yield
    finally:
        sys.unraisablehook = otherwise
        for number, handler in before.items():
            signal.signal(number, handler)


def in_this_process(act: Callable[[int], None]) -> Callable[[int, Any], None]:
    """A handler for this process alone: one that was forked from it ends as it would without."""
    owner = os.getpid()

    def handle(number: int, _: Any) -> None:
        if os.getpid() == owner:
            act(number)
        else:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    return handle


def _stop(number: int) -> None:
    raise Stopped(number)


def _again(otherwise: Callable[[Any], Any], unraisable: Any) -> None:
    """Send a signal once more that came while an object was being deleted: Python drops what is raised there."""
    error = unraisable.exc_value
    if not isinstance(error, Stopped):
        otherwise(unraisable)
        return
    later = Timer(0.01, os.kill, (os.getpid(), error.number))
    later.daemon = True
    later.start()
