"""Requests that wait are worked on together, none is lost, and a bad one spoils no other."""

import threading
from concurrent.futures import wait

import pytest

from alignlab.errors import DataError
from alignlab.serving.waiting import Closed, Full, Queue


class Slow:
    """Work that waits to be let go on, and remembers its groups."""

    def __init__(self):
        self.begun, self.go, self.groups = threading.Event(), threading.Event(), []

    def __call__(self, items):
        self.groups.append(list(items))
        self.begun.set()
        assert self.go.wait(10)
        if any(item == "bad" for item in items):
            raise DataError("a bad one")
        return [str(item) for item in items]


@pytest.fixture
def slow():
    return Slow()


@pytest.fixture
def queue(slow):
    queue = Queue(slow, at_once=3, most=6)
    yield queue
    slow.go.set()
    queue.close()


def busy(queue, slow):
    """The queue at work on a first request."""
    first = queue.ask("first")
    assert slow.begun.wait(10)
    return first


def test_what_waits_meanwhile_is_worked_on_together_by_kind(queue, slow):
    first = busy(queue, slow)
    results = [queue.ask(number, kind=number % 2) for number in range(6)]
    slow.go.set()
    assert [result.result(10) for result in [first, *results]] == ["first", *map(str, range(6))]
    assert slow.groups == [["first"], [0, 2, 4], [1, 3, 5]]


def test_a_bad_request_alone_gets_its_error(queue, slow):
    busy(queue, slow)
    results = [queue.ask(item) for item in ("a", "bad", "b")]
    slow.go.set()
    wait(results, 10)
    assert [results[0].result(), results[2].result()] == ["a", "b"]
    with pytest.raises(DataError, match="a bad one"):
        results[1].result()


def test_too_many_are_refused_and_those_given_up_are_not_begun(queue, slow):
    busy(queue, slow)
    results = [queue.ask(number) for number in range(6)]
    with pytest.raises(Full, match="6 requests wait already"):
        queue.ask("one more")
    assert results[1].cancel()
    slow.go.set()
    wait(results, 10)
    assert [item for group in slow.groups for item in group] == ["first", 0, 2, 3, 4, 5]


def test_the_end_answers_everyone(queue, slow):
    first = busy(queue, slow)
    left = queue.ask("left")
    closing = threading.Thread(target=queue.close)
    closing.start()
    with pytest.raises(Closed):
        left.result(10)
    slow.go.set()
    closing.join(10)
    assert first.result(10) == "first"
    with pytest.raises(Closed):
        queue.ask("late")


def test_a_pause_lets_what_is_under_way_end(queue, slow):
    first = busy(queue, slow)
    assert not queue.pause(0.01)
    slow.go.set()
    assert queue.pause(10)
    assert first.done()
    second = queue.ask("second")
    with pytest.raises(TimeoutError):
        second.result(0.02)
    queue.resume()
    assert second.result(10) == "second"
