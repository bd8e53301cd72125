"""Whatever a config or a command line says, it is taken or told in one message: never a traceback, never a wait."""

import signal
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hydra import initialize_config_dir

from alignlab.assembly.build import build_stage
from alignlab.assembly.check import check
from alignlab.config import resolvers
from alignlab.config.mixture import with_parts
from alignlab.config.stage_configs import composed, specs_of
from alignlab.config.stage_of import UNNAMED
from alignlab.config.typed import require_typed
from alignlab.errors import AlignlabError
from alignlab.places import CONF
from alignlab.runs.folder import RunFolder
from tests.assembly import mutations

CONFIGS, LINES, LONGEST = 900, 150, 5.0
"""How many mutated configs and command lines are tried, and the CPU seconds that one may take."""


class Endless(BaseException):
    """A check that does not come back."""


@pytest.fixture
def place(tmp_path, monkeypatch, untyped):
    """A folder of its own, where what a mutated path makes does no harm."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ALIGNLAB_CACHE", str(tmp_path / "a" / "b" / "cache"))
    (tmp_path / "rows.jsonl").write_text("{}\n")
    return tmp_path


@contextmanager
def bounded():
    """Raise Endless after some seconds of work."""

    def end(*_: Any) -> None:
        raise Endless

    before = signal.signal(signal.SIGPROF, end)
    signal.setitimer(signal.ITIMER_PROF, LONGEST)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def answer(work: Callable[[], None]) -> str:
    """What a check says: nothing, its message, or what no user should see."""
    try:
        with bounded():
            work()
    except AlignlabError as error:
        return str(error)
    except Endless:
        return "ENDLESS"
    except Exception as error:
        return f"TRACEBACK {error!r}"
    return ""


def accept(config: mutations.Config) -> None:
    """Do with a config all that a run does before it loads anything."""
    whole = with_parts(config)
    check(whole)
    specs_of(whole)
    build_stage(whole, RunFolder(Path()), UNNAMED)


def faults(answers: dict[str, str]) -> dict[str, str]:
    return {tried: said for tried, said in answers.items() if said.startswith(("TRACEBACK", "ENDLESS"))}


def fuzzed_configs(count: int, seed: int) -> dict[str, str]:
    rng, bases = Random(seed), mutations.configs()
    tried = (mutations.mutated(bases[rng.choice([*bases])], rng) for _ in range(count))
    return {
        f"{number} {changes!a}": answer(lambda c=config: accept(c))
        for number, (config, changes) in enumerate(tried)
    }


def fuzzed_lines(count: int, seed: int) -> dict[str, str]:
    rng, answers = Random(seed), {}
    resolvers.register()
    with initialize_config_dir(str(CONF), version_base=None):
        for number in range(count):
            line = mutations.typed_line(rng)

            def work(line: list[str] = line) -> None:
                require_typed(line)
                accept(composed("train", [word for word in line if not word.startswith("-")]))

            answers[f"{number} {line!a}"] = answer(work)
    return answers


def test_every_choice_is_sound_as_it_stands(place):
    assert not {
        name: said for name, c in mutations.configs().items() if (said := answer(lambda c=c: accept(c)))
    }


def test_a_mutated_config_is_taken_or_told(place):
    answers = fuzzed_configs(CONFIGS, seed=0)
    assert not faults(answers)
    assert CONFIGS / 20 < sum(not said for said in answers.values()) < CONFIGS / 2


def test_an_odd_command_line_is_taken_or_told(place):
    answers = fuzzed_lines(LINES, seed=0)
    assert not faults(answers)
    assert any(not said for said in answers.values())
