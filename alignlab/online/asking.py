"""A judge is put to work on lists; one that does nothing but wait is asked beside what the program does meanwhile."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from threading import Thread

from alignlab.judges.judge import Asked, Judge, Judged, Waits
from alignlab.online.listed import Listed
from alignlab.online.verdicts import verdicts


@dataclass(frozen=True)
class Begun:
    """Lists that a judge was put to work on, without a verdict yet; empty on all ranks but the first."""

    lists: tuple[Listed, ...] = ()
    said: Callable[[], list[Judged]] = list
    """Gives a verdict on each of the lists, as soon as they are there; raises what the judge raised."""


class Asker:
    """Asks a judge, in the order of the questions.

    One that waits (`judge.Waits`) is asked in a thread. Any other is asked when its verdicts are wanted: it may read
    weights that training moves, and uses the processor that the training wants. Without a judge nothing is said.
    """

    def __init__(self, judge: Judge | None) -> None:
        self.judge = judge
        self.waits = isinstance(judge, Waits) and judge.waits
        self._latest: Future[list[Judged]] | None = None

    def __call__(self, asked: Sequence[Asked]) -> Callable[[], list[Judged]]:
        """Put the judge to work; gives what waits for its verdicts."""
        if self.judge is None:
            return lambda: [Judged()] * len(asked)
        ask = partial(verdicts, self.judge, asked)
        if not self.waits:
            return ask
        before, result = self._latest, Future[list[Judged]]()
        self._latest = result

        def work() -> None:
            try:
                if before is not None:
                    before.exception()
                result.set_result(ask())
            except BaseException as error:
                result.set_exception(error)

        Thread(target=work, daemon=True).start()
        return result.result
