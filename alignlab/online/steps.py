"""The optimizer steps of a run that draws what it trains on; it continues at any step, bit for bit."""

import time
from collections.abc import Collection, Iterator
from functools import partial

import numpy as np

from alignlab.data.batching.batches import Step, StepLoader
from alignlab.data.encoding.token_rows import TokenRows
from alignlab.errors import RunError
from alignlab.online.against import with_best
from alignlab.online.buffer import Buffer
from alignlab.online.listed import Listed
from alignlab.online.measures import measures, staleness
from alignlab.online.rounds import Rounds
from alignlab.online.rows import blank, rows_of, with_blank_samples, with_samples
from alignlab.online.settings import OnlineSpec
from alignlab.online.source import Source
from alignlab.online.together import everywhere
from alignlab.online.written import Drawn, Rollouts
from alignlab.signals import FRESH
from alignlab.types import Batch


class OnlineSteps:
    """Optimizer steps in rounds: a round draws the lists of `every` steps, and trains on them `updates` times over.

    `prompts` are the rows of the data, with the settings of batches and the number of steps; `wanted` are the signals
    that the objective takes. What a round drew is on the disk before anything of it is trained on, and is read from
    there where the round was drawn before: by a run that was killed. Which prompts a round takes, and what the buffer
    holds, follow from the files of the rounds before it.
    """

    def __init__(
        self,
        prompts: StepLoader,
        source: Source,
        rollouts: Rollouts,
        spec: OnlineSpec,
        *,
        wanted: Collection[str] = (),
    ) -> None:
        self.prompts, self.source, self.rollouts, self.spec = prompts, source, rollouts, spec
        self.wanted, self.start, self.steps = wanted, 0, prompts.steps
        self.every = spec.every or -(-prompts.steps // spec.updates)
        self.rounds = Rounds(source, rollouts, steps=self.steps, length=self._length, ahead=spec.ahead)
        self.measured: dict[str, float] = {}
        """What the lists of the latest step were like, by name: their age, and after a draw all that is known of it."""

    def __len__(self) -> int:
        return self.steps

    def at(self, step: int) -> "OnlineSteps":
        """Return these steps from another one on."""
        self.start = step
        return self

    def __iter__(self) -> Iterator[Step]:
        buffer = Buffer(self.spec.kept, self.spec.seed)
        began = self._begin(self.start)
        after = self._remember(buffer, began)
        pile: list[Listed] = []
        for step in range(self.start, self.steps):
            self.measured = {}
            if step == self.start or step == self._begin(step):
                began = self._begin(step)
                drawn = self._round(began, after, buffer, new=step == began)
                pile, after = self._pile(buffer, drawn), drawn.after
            lists = self._lists(pile, began, step)
            self.measured |= staleness(lists, step)
            yield self._batches(lists)

    def largest(self) -> Batch:
        """Return the largest micro-batch that there could be: the longest prompts, with responses that are all cut."""
        size, most = self.spec.samples, self.spec.max_new_tokens
        if self.spec.lists == "data":
            return self.prompts.over(with_blank_samples(self.prompts.rows, size, most)).largest()
        rows, visited = self.prompts.rows, self.prompts.visited()
        tokens = self.source.longest(visited)
        first = np.argsort(-(rows.prompts.lengths[visited] + tokens), kind="stable")
        lists = [
            blank(rows, int(visited[place]), size, int(tokens[place]))
            for place in first[: self.prompts.lists_per_step]
        ]
        return self._loader(lists).largest()

    @property
    def of_policy(self) -> bool:
        """Whether what is trained on are whole responses that the policy drew."""
        return self.spec.lists == "drawn" and self.spec.by == "policy" and self.source.way is None

    @property
    def _length(self) -> int:
        """The steps of a whole round."""
        return self.every * self.spec.updates

    def _begin(self, step: int) -> int:
        """The first step of a step's round."""
        return step - step % self._length

    def _parts(self, began: int) -> int:
        """The steps of one pass over a round's lists."""
        return min(self.every, self.steps - began)

    def _wanted(self, began: int) -> int:
        """The lists of a round, those of the buffer included."""
        return self.prompts.lists_per_step * self._parts(began)

    def _remember(self, buffer: Buffer, began: int) -> int:
        """Bring the buffer to where it was before a round; gives the place of the round's first prompt."""
        before = range(0, began, self._length)
        if not before:
            return 0
        if self.spec.kept.choose == "count":  # how often each was taken follows from all rounds
            for step in before:
                drawn = everywhere(partial(self.rollouts.past, step))
                self._pile(buffer, drawn)
            return drawn.after
        latest: list[Drawn] = []
        for step in reversed(before):  # as many as fill the buffer, and one at least
            latest.append(everywhere(partial(self.rollouts.past, step)))
            if sum(len(drawn.trained) for drawn in latest) >= self.spec.kept.size:
                break
        for drawn in reversed(latest):
            buffer.add(drawn.head.step, drawn.trained)
        return latest[0].after

    def _pile(self, buffer: Buffer, drawn: Drawn) -> list[Listed]:
        """The lists that a round trains on: what was drawn before it, and lists of the buffer, which takes these up."""
        began = drawn.head.step
        if self.spec.kept.choose == "count":
            buffer.add(began, drawn.trained)
            return buffer.take(self._wanted(began), began)
        again = buffer.take(self._wanted(began) - drawn.head.lists, began)
        buffer.add(began, drawn.trained)
        return [*drawn.trained, *again]

    def _round(self, began: int, first: int, buffer: Buffer, *, new: bool) -> Drawn:
        """What was drawn before a round: now, or by a process that was killed; `new`: nothing is trained on it yet."""
        if not new:
            return everywhere(partial(self.rollouts.past, began))
        since = time.perf_counter()
        self.source.seconds = {}

        def lists(step: int) -> int:
            return self._wanted(step) - buffer.share_of(self._wanted(step))

        drawn = self.rounds.at(began, first, lists)
        self.measured = measures(drawn, self.source.seconds, time.perf_counter() - since)
        return drawn

    def _lists(self, pile: list[Listed], began: int, step: int) -> list[Listed]:
        """The lists of a step, of those of its round."""
        parts = self._parts(began)
        passed, part = divmod(step - began, parts)
        if len(pile) < parts:
            raise RunError(
                f"step {step + 1}: {len(pile)} lists can be trained on, and online.every={self.spec.every} shares them "
                f"among {parts} steps: lower it, or raise online.refills"
            )
        if parts == 1:
            return pile
        order = np.random.default_rng([self.spec.seed, began, passed]).permutation(len(pile))
        return [pile[place] for place in np.array_split(order, parts)[part]]

    def _batches(self, lists: list[Listed]) -> Step:
        return next(iter(self._loader(lists)))

    def _loader(self, lists: list[Listed]) -> StepLoader:
        rows = self._rows(lists)
        return self.prompts.over(rows, steps=1, start=0, shuffle=False, lists_per_step=len(rows))

    def _rows(self, lists: list[Listed]) -> TokenRows:
        """The rows that are trained on, with what their sampler told of all their responses, and with fresh samples."""
        data, samples = self.prompts.rows, [one.by_policy for one in lists]
        if self.spec.lists == "data":
            return with_samples(data.take([one.row for one in lists]), samples)
        told = {"behavior_logps"} if self.of_policy else set()  # nobody drew the best response of the data
        if self.spec.lists == "against_data":
            lists = [with_best(one, data) for one in lists]
        rows = rows_of(lists, data, {*self.wanted, *told})
        return with_samples(rows, samples) if FRESH & {*self.wanted} else rows
