"""Unit tests as a judge of programs: what passes is better than what fails, arXiv:2410.18585."""

import logging
import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

from alignlab.console import warn_once
from alignlab.judges.judge import Asked, Judged
from alignlab.judges.unit_tests.sandbox import UNPROTECTED, Sandbox
from alignlab.settings import Positive, PositiveNumber

log = logging.getLogger(__name__)

FENCED = re.compile(r"```[ \t]*(?:python|py)?[ \t]*\n(.*?)(?:```|\Z)", re.DOTALL | re.IGNORECASE)


class UnitTestJudge:
    """Rewards a program that passes its tests with 1, and any other with 0; the reasons say what stopped those.

    A row brings `meta["tests"]`, a program that defines `check(candidate)`, and `meta["entry_point"]`, the name of the
    function; and where responses may be the rest of a function alone, its beginning as `meta["begun"]`. The program of
    a response is its first fenced block, or all of it. Programs run in a `sandbox`, each within `seconds`, `memory_mb`
    and `processes`. A program that sets out to fool its tests can: they run in its own process.
    """

    waits = True
    """Programs run in processes of their own."""

    def __init__(
        self,
        *,
        sandbox: Literal["bubblewrap", "process"] = "bubblewrap",
        seconds: PositiveNumber = 5.0,
        memory_mb: Positive = 512,
        processes: Positive = 32,
    ) -> None:
        self.sandbox = Sandbox(sandbox, seconds, memory_mb, processes)

    @property
    def identity(self) -> str:
        """The limits within which programs run."""
        own = self.sandbox
        return f"unit_tests 1: {own.seconds:g} s, {own.memory_mb} MB, {own.processes} processes"

    def __call__(self, asked: Sequence[Asked]) -> list[Judged]:
        """Return 1 for each response that passes, and 0 for each that does not."""
        if self.sandbox.kind == "process":
            warn_once(UNPROTECTED)
        self.sandbox.command  # noqa: B018  # what cannot run at all is told before any thread starts
        flat = [(one, response) for one in asked if _has_tests(one) for response in one.responses]
        with ThreadPoolExecutor(max(1, os.cpu_count() or 1)) as pool:
            stopped = pool.map(lambda both: self.sandbox(program_of(*both)), flat)
        return [
            _judged([next(stopped) for _ in one.responses]) if _has_tests(one) else Judged(unsaid="no tests")
            for one in asked
        ]


def program_of(asked: Asked, response: str) -> str:
    """Return the program that tests a response."""
    fenced = FENCED.search(response)
    code, name = (fenced[1] if fenced else response), str(asked.meta["entry_point"])
    begun = str(asked.meta.get("begun", ""))
    if re.search(rf"^\s*(async\s+)?def\s+{re.escape(name)}\b", code, re.MULTILINE):
        begun = "\n".join(line for line in begun.splitlines() if line.startswith(("import ", "from ")))
    return f"{begun}\n{code}\n\n{asked.meta['tests']}\n\ncheck({name})\n"


def _has_tests(one: Asked) -> bool:
    return isinstance(one.meta.get("tests"), str) and str(one.meta.get("entry_point", "")).isidentifier()


def _judged(stopped: Sequence[str | None]) -> Judged:
    reasons = tuple("passed" if reason is None else reason for reason in stopped)
    return Judged(rewards=tuple(float(reason is None) for reason in stopped), reasons=reasons)
