"""A function of one's own as a judge: lists in, numbers out."""

import hashlib
import inspect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

from alignlab.errors import RunError
from alignlab.judges.gold import unfound
from alignlab.judges.judge import Asked, Judged
from alignlab.own_code import named
from alignlab.settings import PositiveNumber, typed
from alignlab.targets import locate

OFFERED = ("ids", "meta", "finished")
"""What a function may ask for beside prompts and responses, by the name of a parameter: a list each, as long."""


class Function:
    """Rewards by `function(prompts, responses)`: as many numbers, in order, as there are responses.

    A prompt is a list of messages, a response a text; prompts are repeated for each of their responses. A function that
    has parameters of these names is also given `ids` and `meta` of the rows, and whether each response is `finished`.
    It is called for all lists that were drawn together, several times a step where these are many, and may say None of
    a response, which then is left out.
    """

    joint = True
    waits = True
    """The function runs in a thread of its own in any case, for its time-out."""

    def __init__(self, *, function: str, timeout: PositiveNumber = 600.0) -> None:
        self.function: Callable[..., Any] = locate(function, "judge.function")
        self.name, self.timeout = function, timeout
        taken = inspect.signature(self.function).parameters
        everything = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in taken.values())
        self.offered = [name for name in OFFERED if everything or name in taken]

    @classmethod
    def problems(cls, settings: Mapping[str, Any]) -> Iterator[str]:
        """Yield what is wrong with the settings, before anything is drawn."""
        yield from unfound(settings["function"], "judge.function")

    @property
    def identity(self) -> str:
        """The dotted path of the function, and its source where that can be read."""
        try:
            source = inspect.getsource(inspect.unwrap(self.function))
        except (OSError, TypeError):
            return f"function: {self.name}"
        return f"function: {self.name} {hashlib.sha256(source.encode()).hexdigest()[:12]}"

    def __call__(self, asked: Sequence[Asked]) -> list[Judged]:
        """Judge all lists by one call; raises RunError for what is no list of as many numbers, or takes too long."""
        flat = [(one, k) for one in asked for k in range(len(one.responses))]
        beside = {
            "ids": [one.id for one, _ in flat],
            "meta": [one.meta for one, _ in flat],
            "finished": [one.finished[k] if one.finished else True for one, k in flat],
        }
        prompts, responses = [one.prompt_of(k) for one, k in flat], [one.responses[k] for one, k in flat]
        given = {name: beside[name] for name in self.offered}
        numbers = iter(self._checked(self._in_time(prompts, responses, given), flat))
        return [Judged(rewards=tuple(next(numbers) for _ in one.responses)) for one in asked]

    def _in_time(self, prompts: Any, responses: Any, given: Mapping[str, Any]) -> Any:
        """What the function returns; RunError where that takes longer than the time-out."""
        results: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()

        def work() -> None:
            try:
                results.put((self.function(prompts, responses, **given), None))
            except BaseException as error:
                results.put((None, error))

        Thread(target=work, daemon=True).start()
        try:
            found, error = results.get(timeout=self.timeout)
        except Empty:
            raise RunError(
                f"judge.function={self.name} did not return within {self.timeout:g} s for {len(responses)} responses: "
                "nothing of this step was trained on, and the run goes on from its last checkpoint with resume=auto; "
                "judge.timeout sets the seconds"
            ) from None
        if error is not None:
            with named(f"judge.function={self.name}", self.function):
                raise error
        return found

    def _checked(self, found: Any, flat: Sequence[tuple[Asked, int]]) -> list[float | None]:
        try:
            numbers = list(found)
        except TypeError:
            raise RunError(
                f"judge.function={self.name} returned {type(found).__name__}, and not a list of numbers"
            ) from None
        if len(numbers) != len(flat):
            raise RunError(
                f"judge.function={self.name} returned {len(numbers)} numbers for {len(flat)} responses: return one for "
                "each, in order, or None for those that it cannot judge"
            )
        return [self._number(value, one.id, k) for value, (one, k) in zip(numbers, flat, strict=True)]

    def _number(self, value: Any, row: str, k: int) -> float | None:
        if value is None:
            return None
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = math.nan
        if not math.isfinite(number):
            raise RunError(
                f"judge.function={self.name} returned {typed(value)} for response {k + 1} of row {row}: expected a "
                "finite number, or None where it cannot say"
            )
        return number
