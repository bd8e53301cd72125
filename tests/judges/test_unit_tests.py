"""Unit tests as a judge: programs that pass and fail, and hostile ones that harm nothing."""

import os
import secrets
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from alignlab.data.sources.human_eval import convert
from alignlab.errors import ConfigError
from alignlab.judges.unit_tests.judge import UnitTestJudge, program_of
from alignlab.judges.unit_tests.sandbox import Sandbox
from tests.judges.asked import asked

META = {
    "tests": "def check(f):\n    assert f(2) == 4",
    "entry_point": "double",
    "begun": "import math\ndef double(a):\n",
}
SANDBOXES = [
    "process",
    pytest.param(
        "bubblewrap", marks=pytest.mark.skipif(not shutil.which("bwrap"), reason="bwrap is not installed")
    ),
]
HOSTILE = {
    "an endless loop": "while True: pass",
    "a fork bomb": "import os\nwhile True: os.fork()",
    "10 GB": "a = bytearray(10 * 2**30)",
    "a large file": "open('large', 'wb').write(bytes(2**24))",
    "an early end": "import sys\nsys.exit(0)",
    "a hard end": "import os\nos._exit(0)",
    "its own end": "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)",
}
NAMED = "open('/proc/self/comm', 'w').write('{}')\n"
"""The first line of a program by which its process, and all that it forks, has a name."""


def judge(sandbox="process", **settings):
    return UnitTestJudge(sandbox=sandbox, **settings)


@pytest.mark.parametrize("sandbox", SANDBOXES)
def test_programs_are_told_apart_by_their_tests(sandbox):
    responses = [
        "Here:\n```python\ndef double(a):\n    return a * 2\n```",
        "    return math.floor(a * 2)",
        "def double(a):\n    return a",
    ]
    passed, untested = judge(sandbox)([asked(responses=responses, meta=META), asked("1")])
    assert passed.rewards == (1.0, 1.0, 0.0)
    assert passed.reasons == ("passed", "passed", "AssertionError")
    assert untested.unsaid == "no tests"


@pytest.mark.parametrize("sandbox", SANDBOXES)
def test_hostile_programs_fail_and_harm_nothing(sandbox, tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("here")
    victim.chmod(0o600)
    programs = {**HOSTILE, "rm": f"import shutil\nshutil.rmtree({str(tmp_path)!r})"}
    if sandbox == "bubblewrap":
        programs["network"] = "import socket\nsocket.create_connection(('127.0.0.1', 1), 1)\n"
        programs["files"] = "open('/etc/passwd')"
    name, began = f"left-{secrets.token_hex(4)}", time.monotonic()
    stopped = {
        kind: Sandbox(sandbox, 1.0 if kind == "an endless loop" else 20.0, 256, 16)(
            NAMED.format(name) + program
        )
        for kind, program in programs.items()
    }
    assert all(reason is not None for reason in stopped.values()), stopped
    assert stopped["10 GB"] == "MemoryError"
    assert stopped["an early end"] == "SystemExit"
    assert victim.read_text() == "here"
    assert time.monotonic() - began < 60
    assert _within(10, lambda: not _alive(name))


@pytest.mark.parametrize("sandbox", SANDBOXES)
def test_what_a_program_started_is_seen_while_it_runs_and_gone_with_it(sandbox):
    name = f"left-{secrets.token_hex(4)}"
    program = f"{NAMED.format(name)}import os, time\nos.fork()\ntime.sleep(60)"
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(Sandbox(sandbox, 3.0, 256, 16), program)
        assert _within(20, lambda: len(_alive(name)) == 2 or running.done())
        assert not running.done()
        assert running.result() == "timed out"
    assert _within(10, lambda: not _alive(name))


def _alive(name):
    """The processes of a name, which what they fork has too; without those that died and are not waited for."""
    alive = []
    for file in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            told = file.read_text(errors="replace")
            if f"({name})" in told and told.rpartition(") ")[2][0] not in "ZX":
                alive.append(file.parent.name)
    return alive


def _within(seconds, holds):
    until = time.monotonic() + seconds
    while not holds() and time.monotonic() < until:
        time.sleep(0.02)
    return holds()


def test_without_a_sandbox_it_is_refused_unless_one_says_so(monkeypatch):
    monkeypatch.setattr("alignlab.judges.unit_tests.sandbox.shutil.which", lambda name, path=None: None)
    with pytest.raises(ConfigError, match=r"apt install bubblewrap.*reaches the network"):
        judge("bubblewrap")([asked(meta=META)])


def test_a_solution_stands_before_copies_that_are_changed_at_one_place():
    row = {
        "task_id": "T/0",
        "prompt": 'def double(a):\n    """ Doubles. """\n',
        "canonical_solution": "    return a * 2 if a > 0 else a + a\n",
        "entry_point": "double",
        "test": META["tests"],
    }
    example = convert(row, mutants=9)
    assert len(example.responses) == 6
    assert len({*example.responses}) == 6
    assert example == convert(row, mutants=9)
    one = asked(responses=example.responses, meta=example.meta)
    compile(program_of(one, example.responses[1]), "program", "exec")
    assert os.environ.get("HOME")
