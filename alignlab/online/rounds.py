"""Rounds in their order, each drawn some rounds before it is trained on, and on the disk before anything is."""

from collections.abc import Callable
from functools import partial

from alignlab import ranks
from alignlab.online.asking import Begun
from alignlab.online.source import Source
from alignlab.online.together import everywhere
from alignlab.online.written import Drawn, Head, Rollouts


class Rounds:
    """What rounds are trained on, by the step that each begins before.

    With `ahead` = n, a round is drawn when the one n rounds before it begins, by the weights of then: its responses are
    written as they were drawn, and a judge that waits works on them while the policy trains. Before the round after
    that one, what was dropped is replaced, by the weights of then, and the round is written whole. So prompts come in
    the same order, and the files that a run goes on from are on the disk before the weights that drew them move on.
    """

    def __init__(self, source: Source, rollouts: Rollouts, *, steps: int, length: int, ahead: int) -> None:
        self.source, self.rollouts = source, rollouts
        self.steps, self.length, self.ahead = steps, length, ahead
        self._whole: dict[int, Drawn] = {}
        self._begun: dict[int, Begun] = {}

    def at(self, began: int, first: int, lists: Callable[[int], int]) -> Drawn:
        """Return what the round that begins before this step is trained on; all ranks must call this.

        `first` is the place of its first prompt, and `lists` gives the number of lists of the round that begins before
        a step. Raises RunError where files are gone, or torn, and the weights that drew them have moved on.
        """
        later = [*range(began, self.steps, self.length)][: self.ahead + 1]
        self.source.version = began
        for step in later[: max(1, self.ahead)]:
            if step not in self._whole:
                head = self.source.head(step, first, lists(step))
                self._whole[step] = self._settle(head, is_late=self.ahead > 0 and began > 0)
            first = self._whole[step].after
        for step in later[self.ahead :] if self.ahead else ():
            self._begin(self.source.head(step, first, lists(step)))
        return self._whole.pop(began)

    def _settle(self, head: Head, *, is_late: bool) -> Drawn:
        """A round, whole and on the disk; `is_late`: weights of an earlier step were to draw it."""
        if (drawn := everywhere(partial(self.rollouts.reusable, head))) is not None:
            if ranks.main():
                self.source.relearn(drawn)
            return drawn
        begun = self._begun.pop(head.step, None) or self._begun_before(head)
        if begun is None and is_late:
            everywhere(partial(self.rollouts.past, head.step))
        drawn = self.source.draw(head, begun)
        if ranks.main():
            self.rollouts.write(drawn)
        return drawn

    def _begin(self, head: Head) -> None:
        """Draw a round, and put the judge to work on it."""
        if everywhere(partial(self.rollouts.reusable, head)) is not None:
            return
        begun = self._begun_before(head)
        if begun is None:
            begun = self.source.begin(head)
            if ranks.main():
                self.rollouts.write_begun(Drawn(head, begun.lists))
        self._begun[head.step] = begun

    def _begun_before(self, head: Head) -> Begun | None:
        """What a process that was killed has drawn for a round, and the judge may not have seen."""
        lists = everywhere(partial(self.rollouts.begun, head))
        return None if lists is None else self.source.ask(lists.lists)
