"""A judge that waits is asked in threads, in order; what it raises is raised where verdicts are wanted."""

from threading import Event, current_thread, main_thread

import pytest

from alignlab.errors import RunError
from alignlab.judges.judge import Asked, Judged
from alignlab.online.asking import Asker


class Waiting:
    """A judge that says nothing before it is allowed to, and notes whom it was asked about."""

    identity = "waiting"

    def __init__(self, waits=True):
        self.waits, self.may, self.noted = waits, Event(), []

    def __call__(self, asked):
        assert self.may.wait(10)
        self.noted.append((asked[0].id, current_thread() is main_thread()))
        return [] if asked[0].id == "bad" else [Judged(rewards=(1.0,))]


def ask(asker, name):
    return asker([Asked(name, [], ("text",))])


def test_a_judge_that_waits_is_asked_beside_what_goes_on_and_in_order():
    judge = Waiting()
    asker = Asker(judge)
    said = [ask(asker, name) for name in ("a", "bad", "c")]
    assert judge.noted == []
    judge.may.set()
    assert said[2]()[0].rewards == (1.0,)
    assert judge.noted == [("a", False), ("bad", False), ("c", False)]
    with pytest.raises(RunError, match="judged 0 of 1 lists"):
        said[1]()


def test_any_other_is_asked_when_its_verdicts_are_wanted():
    judge = Waiting(waits=False)
    said = ask(Asker(judge), "a")
    judge.may.set()
    assert judge.noted == []
    assert said()[0].rewards == (1.0,)
    assert judge.noted == [("a", True)]
