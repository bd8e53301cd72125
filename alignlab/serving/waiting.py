"""Requests that wait while the model is at work, and are then worked on together."""

import threading
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple

from alignlab.errors import RunError

Work = Callable[[Sequence[Any]], Sequence[Any]]


class Full(RunError):
    """So many requests wait that another one is refused."""


class Closed(RunError):
    """The server goes down, and takes no more requests."""


class Waiting(NamedTuple):
    """A request, what it may be worked on together with, and where its result goes."""

    item: Any
    kind: Hashable
    result: "Future[Any]"


class Queue:
    """One thread that works on what waits: the oldest request, with all others of its kind, at most `at_once` of them.

    `most` requests may wait. A group that fails is worked on again one by one, so that each gets an error of its own.
    """

    def __init__(self, work: Work, *, at_once: int, most: int) -> None:
        self.work, self.at_once, self.most = work, at_once, most
        self._waiting: deque[Waiting] = deque()
        self._changed = threading.Condition()
        self._busy = self._paused = self._closed = False
        self._thread = threading.Thread(target=self._run, name="alignlab-serve", daemon=True)
        self._thread.start()

    def ask(self, item: Any, kind: Hashable = None) -> "Future[Any]":
        """Take up a request; raises Full where too many wait, and Closed behind the end."""
        with self._changed:
            if self._closed:
                raise Closed("the server goes down")
            if len(self._waiting) >= self.most:
                raise Full(f"{self.most} requests wait already: ask again later")
            waiting = Waiting(item, kind, Future())
            self._waiting.append(waiting)
            self._changed.notify_all()
        return waiting.result

    def pause(self, timeout: float) -> bool:
        """Begin no more work, and wait until what is under way has ended; false where it has not in time."""
        with self._changed:
            self._paused = True
            return self._changed.wait_for(lambda: not self._busy, timeout)

    def resume(self) -> None:
        """Go on after a pause."""
        with self._changed:
            self._paused = False
            self._changed.notify_all()

    @property
    def paused(self) -> bool:
        """Whether nothing is worked on, by request."""
        return self._paused

    def close(self) -> None:
        """End the thread when it has ended what is under way; requests that still wait get Closed."""
        with self._changed:
            self._closed = True
            left = [*self._waiting]
            self._waiting.clear()
            self._changed.notify_all()
        for waiting in left:
            if waiting.result.set_running_or_notify_cancel():
                waiting.result.set_exception(Closed("the server goes down"))
        self._thread.join()

    def _run(self) -> None:
        while group := self._next():
            _settle(group, self.work)
            with self._changed:
                self._busy = False
                self._changed.notify_all()

    def _next(self) -> list[Waiting]:
        """Wait for requests, and take some; none at the end."""
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._closed or (self._waiting and not self._paused))
                if self._closed:
                    return []
                kind = self._waiting[0].kind
                group = [waiting for waiting in self._waiting if waiting.kind == kind][: self.at_once]
                taken = {id(waiting.result) for waiting in group}
                self._waiting = deque(w for w in self._waiting if id(w.result) not in taken)
                group = [waiting for waiting in group if waiting.result.set_running_or_notify_cancel()]
                if group:
                    self._busy = True
                    return group


def _settle(group: Sequence[Waiting], work: Work) -> None:
    """Give every request of a group its result, or its error."""
    try:
        results = work([waiting.item for waiting in group])
    except Exception as error:
        if len(group) == 1:
            group[0].result.set_exception(error)
        else:
            for waiting in group:
                _settle([waiting], work)
    else:
        for waiting, result in zip(group, results, strict=True):
            waiting.result.set_result(result)
