"""Chat templates that know no bounds are told in bounded time and memory."""

import resource
import signal

import pytest

from alignlab.data.encoding import trial
from alignlab.data.encoding.rendering import Refusal, Rendering, turn
from alignlab.errors import ConfigError
from tests.data import tokenizers_ as kinds

ASK = [turn("user", "Sky?")]
CONTENTS = "{% for m in messages %}{{ m.content }}{% endfor %}"
GROWING = "{% set ns = namespace(x='ab') %}{% for i in range(N) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}"


def rendering(template):
    tokenizer = kinds.byte_level()
    tokenizer.chat_template = template
    return Rendering(tokenizer)


@pytest.fixture(autouse=True)
def narrow(monkeypatch):
    monkeypatch.setattr(trial, "SECONDS", 1)
    monkeypatch.setattr(trial, "MEMORY", 2**28)


@pytest.mark.parametrize(
    ("hostile", "excess"),
    [
        ("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", "more than 1 s"),
        ("{% set x = 9 ** (9 ** 9) %}", "more than 1 s"),
        (GROWING.replace("N", "60"), "of memory"),
        ("{% set x = 'a' * 7000000000 %}", "of memory"),
        ("{{ '%6000000000d' % 1 }}", "of memory"),
        ("{{ 'x' | center(6000000000) }}", "of memory"),
        (GROWING.replace("N", "21") + "{{ ns.x }}", "writes more than 1000"),
    ],
)
def test_a_template_without_bounds_is_told(hostile, excess):
    with pytest.raises(
        ConfigError, match=f"the chat template of the tokenizer .*{excess}.*chat_template=chatml"
    ):
        rendering(hostile + CONTENTS).one(ASK)


@pytest.mark.parametrize(
    "failing",
    [
        "{% for i in range(10 ** 12) %}{% endfor %}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{{ 1 / 0 }}",
        "{% if 1 %}" * 3000 + "{% endif %}" * 3000,
    ],
)
def test_what_a_template_raises_is_a_refusal(failing):
    with pytest.raises(Refusal, match="the chat template refuses it"):
        rendering(failing + CONTENTS).one(ASK)


def test_a_later_conversation_that_becomes_too_long_is_refused():
    render = rendering(
        GROWING.replace("N", "21 if messages[0].content == 'Sea?' else 1") + CONTENTS + "{{ ns.x }}"
    )
    assert render.one(ASK) == "Sky?abab"
    with pytest.raises(Refusal, match="writes 4194308 characters"):
        render.one([turn("user", "Sea?")])


def test_a_template_is_tried_once(monkeypatch):
    render = rendering(CONTENTS)
    assert render.one(ASK) == "Sky?"

    def again():
        raise AssertionError("it was tried already")

    monkeypatch.setattr(trial.os, "fork", again)
    assert render.one(ASK) == "Sky?"


def test_limits_of_the_machine_that_are_lower_leave_the_trial_its_own(monkeypatch):
    def lower(what, limits):
        if limits[1] > 2**40:
            raise ValueError("not allowed to raise maximum limit")
        return set_limit(what, limits)

    set_limit = resource.setrlimit
    monkeypatch.setattr(trial, "MEMORY", 2**41)
    monkeypatch.setattr(resource, "getrlimit", lambda what: (2**40, 2**40))
    monkeypatch.setattr(resource, "setrlimit", lower)
    with pytest.raises(ConfigError, match="more than 1 s"):
        rendering("{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}").one(ASK)


def test_where_the_system_keeps_no_record_of_processes_a_template_goes_untried():
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        assert rendering(CONTENTS).one(ASK) == "Sky?"
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_where_there_is_no_room_for_a_process_a_template_goes_untried(monkeypatch):
    def refused():
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(trial.os, "fork", refused)
    assert rendering(CONTENTS).one(ASK) == "Sky?"
