"""The rows of a data set as questions to one judge, and what it said of those that it was asked."""

import time
from collections.abc import Sequence
from pathlib import Path

from alignlab.console import tracked
from alignlab.judges.annotation import NOT_ASKED
from alignlab.judges.judge import Asked, Judge, Judged
from alignlab.judges.kept import Kept


class Questions:
    """Asks one judge about rows by their places, and holds a verdict for each; None where it was not asked."""

    def __init__(
        self, name: str, judge: Judge, questions: Sequence[Asked | str], cache_dir: Path, *, at_once: int
    ) -> None:
        self.name, self.questions, self.seconds = name, questions, 0.0
        self.kept = Kept(judge, cache_dir, at_once=at_once)
        self.verdicts: list[Judged | None] = [
            Judged(unsaid=one) if isinstance(one, str) else None for one in questions
        ]

    @property
    def places(self) -> list[int]:
        """The places of the rows that a judge can be asked about."""
        return [place for place, one in enumerate(self.questions) if isinstance(one, Asked)]

    def ask_within(self, budget: int | None) -> None:
        """Ask about all rows, but anew about no more than `budget`; the verdicts on the others say so."""
        lists = [one for one in self.questions if isinstance(one, Asked)]
        within = self.kept.affordable(lists, budget)
        self.ask([place for place, is_within in zip(self.places, within, strict=True) if is_within])
        self.verdicts = [Judged(unsaid=NOT_ASKED) if one is None else one for one in self.verdicts]

    def ask(self, places: Sequence[int]) -> None:
        """Ask about the rows at these places."""
        began = time.perf_counter()
        lists = [one for place in places if isinstance(one := self.questions[place], Asked)]
        with tracked(f"lists judged by {self.name}", len(lists)) as advance:
            verdicts = self.kept(lists, advance=advance)
        for place, judged in zip(places, verdicts, strict=True):
            self.verdicts[place] = judged
        self.seconds += time.perf_counter() - began
