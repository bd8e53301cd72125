"""Signals: noted between steps, at once elsewhere, and never those of a forked process."""

import os
import signal
import time

import pytest

from alignlab.training.stop import SIGNALS, Listener, Stopped, stopped_at_once


@pytest.mark.parametrize("number", SIGNALS)
def test_at_once(number):
    before = signal.getsignal(number)
    with pytest.raises(Stopped) as caught, stopped_at_once():
        os.kill(os.getpid(), number)
    assert caught.value.number == number
    assert signal.getsignal(number) is before


class Deleted:
    """Gets a signal while it is deleted, where Python drops what is raised."""

    def __del__(self):
        os.kill(os.getpid(), signal.SIGUSR1)


def test_a_signal_is_not_lost_where_an_object_is_being_deleted():
    def delete_and_wait():
        Deleted()
        for _ in range(500):
            time.sleep(0.01)

    with pytest.raises(Stopped, match=str(int(signal.SIGUSR1))), stopped_at_once():
        delete_and_wait()


def test_a_stop_is_no_failure_to_those_on_the_way():
    def careless():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except Exception:
            pytest.fail("taken for a failure")

    with pytest.raises(Stopped), stopped_at_once():
        careless()


@pytest.mark.parametrize("number", SIGNALS)
def test_a_listener_notes_the_first(number):
    listener = Listener()
    with stopped_at_once():
        listener.start()
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), signal.SIGTERM)
        assert listener.asked is not None
        listener.end()
        with pytest.raises(Stopped):
            os.kill(os.getpid(), number)


def test_a_second_ctrl_c_ends_it_at_once():
    listener = Listener()
    listener.start()
    try:
        os.kill(os.getpid(), signal.SIGINT)
        assert listener.asked == signal.SIGINT
        with pytest.raises(Stopped):
            os.kill(os.getpid(), signal.SIGINT)
    finally:
        listener.end()


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_ends_as_it_would_without():
    with stopped_at_once():
        child = os.fork()
        if child == 0:
            try:
                os.kill(os.getpid(), signal.SIGTERM)
            finally:
                os._exit(0)
        _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGTERM
