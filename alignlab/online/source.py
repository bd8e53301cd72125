"""Where lists come from: prompts in their order, drawn by the policy as it is now, judged, and built."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import numpy as np

from alignlab import ranks
from alignlab.data.batching.batches import StepLoader
from alignlab.errors import RunError
from alignlab.judges.judge import Asked, Judge, Judged, Learner
from alignlab.judges.worth import lines_of, worth
from alignlab.online.against import Against
from alignlab.online.asking import Asker, Begun
from alignlab.online.labels import Labelling, Samples
from alignlab.online.listed import Array, Listed
from alignlab.online.of_reference import DrawOne, from_reference, with_one_of_reference
from alignlab.online.together import together
from alignlab.online.verdicts import GOLD, with_gold
from alignlab.online.ways import Drawing, Start, Way
from alignlab.online.written import Drawn, Head
from alignlab.sampling.generator import Generator
from alignlab.sampling.rollout import Prompt, Rollout
from alignlab.sampling.settings import Sampling

log = logging.getLogger(__name__)


Told = Mapping[str, tuple[Array, ...]]
TellOf = Callable[[Sequence[Rollout]], Sequence[Told]]


class Source:
    """Gives judged lists for the prompts of rows, each prompt once an epoch, in an order by (seed, epoch).

    Without a judge nothing is said of them: they are samples, or rejected for what the data have.

    `prompts` are the rows, one list a step. All ranks draw their share of the prompts; the first one judges, and says
    what stays. `refills` is how often prompts that follow take the place of lists that were dropped; `within` is the
    precision in which the policy computes, and `tell_of` gives what it says of the tokens that were drawn, where an
    objective asks for what the sampler does not tell. `reference` draws the last response of each list from the
    reference, where there is one to do so. `at_once` are the prompts that a rank draws for before a judge that waits is
    put to work on them (0: all), which it does while those that follow are drawn. `gold` is an exact reward of prompt
    and response, which is kept beside what the judge says, and changes nothing. `way` gives lists with labels of their
    own, with what it draws by, in place of all that.
    """

    def __init__(
        self,
        prompts: StepLoader,
        generator: Generator,
        judge: Judge | None,
        labelling: Labelling | Samples | Against,
        decode: Callable[[Any], str],
        *,
        how: Sampling,
        samples: int,
        refills: int,
        within: Callable[[], AbstractContextManager[Any]] = nullcontext,
        tell_of: TellOf | None = None,
        reference: DrawOne | None = None,
        at_once: int = 0,
        gold: Callable[[str, str], Any] | None = None,
        way: tuple[Way, Drawing] | None = None,
    ) -> None:
        self.prompts, self.generator, self.judge, self.labelling = prompts, generator, judge, labelling
        self.decode, self.how, self.samples, self.refills = decode, how, samples, refills
        self.within, self.tell_of, self.gold, self.reference = within, tell_of, gold, reference
        self.asker, self.at_once, self.way = Asker(judge), at_once, way
        self.version = 0
        """The number of optimizer steps that the weights of the policy have seen."""
        self._synced: int | None = None
        self.seconds: dict[str, float] = {}
        self.told_ties = False

    def head(self, step: int, first: int, lists: int) -> Head:
        """Return what the file of such a draw says of itself."""
        how = f"{self.how.name}, at most {self.how.max_new_tokens} tokens"
        how += ", one of the reference" if self.reference else ""
        by = "nobody" if self.judge is None else self.judge.identity
        built = self.way[0].name if self.way else self.labelling.name
        return Head(step, first, lists, self.samples, how, by, built)

    def begin(self, head: Head) -> Begun:
        """Draw for as many prompts as lists are wanted, and ask the judge; all ranks must call this."""
        return self._begun(range(head.first, head.first + head.lists))

    def draw(self, head: Head, begun: Begun | None = None) -> Drawn:
        """Draw as many lists as are wanted, from the place of the first prompt on; all ranks must call this.

        `begun` are those that were drawn before. Raises RunError where not one list can be trained on.
        """
        lists = self._made(range(head.first, head.first + head.lists), begun, learns=True)
        for _ in range(self.refills):
            if (missing := head.lists - len(kept := [one for one in lists if not one.dropped])) <= 0:
                break
            # as many prompts as will do if as many of their lists are dropped as were before
            first = Drawn(head, tuple(lists)).after
            likely = round(missing * (first - head.first) / max(1, len(kept)))
            lists += self._made(range(first, first + min(max(1, likely), head.lists)))
            if not self.way:
                lists = _first_of(lists, head.lists)
        drawn = Drawn(head, tuple(lists))
        if not drawn.trained:
            raise RunError(_nothing_left(drawn))
        self._tell_ties(drawn)
        return drawn

    def _tell_ties(self, drawn: Drawn) -> None:
        """Tell, once, where all lists of a draw are tied, and yet count."""
        tied = all(len({*one.labels}) == 1 for one in drawn.trained)
        if tied and self.labelling.compares and ranks.main() and not self.told_ties:
            self.told_ties = True
            log.warning(
                "step %d: the judge gives all responses to a prompt the same, for every prompt: such lists count in "
                "the mean of the objective, and move nothing (online/tied is their share)",
                drawn.head.step + 1,
            )

    def _prompt(self, place: int) -> tuple[int, Prompt]:
        """The row at a place of the order of prompts, and its prompt, whose id names the epoch beyond the first."""
        (row,) = self.prompts.indices(place)
        rows, epoch = self.prompts.rows, place // self.prompts.steps_per_epoch
        name = rows.ids[row] if not epoch else f"{rows.ids[row]}#{epoch}"
        return row, Prompt(name, rows.prompts[row].tolist())

    def longest(self, rows: Array) -> Array:
        """Return for each of these rows the largest number of tokens that a response to its prompt may have."""
        most, way = self.how.max_new_tokens, self.way
        own, members = self.prompts.rows.responses.lengths, self.prompts.rows.members
        return np.array([way[0].longest(own[members[row]].max(), most) if way else most for row in rows])

    def _made(self, places: range, begun: Begun | None = None, *, learns: bool = False) -> list[Listed]:
        """The lists for the prompts at these places, with what stays of them, on all ranks."""
        if self.way is None:
            return self._settled(begun or self._begun(places), learns=learns)
        way, by = self.way
        self._sync()
        with self._timed("draw"), self.within():
            made = together(lambda starts: way(starts, by), [self._start(place) for place in places])
        return [one for lists in made for one in lists]

    def _start(self, place: int) -> Start:
        row, prompt = self._prompt(place)
        rows = self.prompts.rows
        responses = tuple(rows.responses[member] for member in rows.members[row])
        meta = rows.examples[int(rows.places[row])].meta
        return Start(prompt, row, rows.messages(row), responses, rows.labels[row].tolist(), meta)

    def _begun(self, places: range) -> Begun:
        """Lists for the prompts at these places, with the judge at work on them."""
        part = self.at_once * ranks.world() if self.asker.waits and self.at_once else max(1, len(places))
        begun = [self.ask(self._drawn(places[at : at + part])) for at in range(0, len(places), part)]
        return Begun(
            tuple(one for some in begun for one in some.lists),
            lambda: [verdict for some in begun for verdict in some.said()],
        )

    def _sync(self) -> None:
        """Bring what draws to the weights of now."""
        if self._synced != self.version:
            with self._timed("sync"):
                self.generator.sync(self.version)
            self._synced = self.version

    def _drawn(self, places: range) -> list[Listed]:
        """The lists for the prompts at these places, without verdicts, on the first rank; each rank draws a share."""
        asked = [self._prompt(place) for place in places]
        self._sync()
        with self._timed("draw"), self.within():
            drawn = together(self._with_told, [prompt for _, prompt in asked])
        return [self._listed(row, *one) for (row, _), one in zip(asked, drawn, strict=True) if ranks.main()]

    def _listed(self, row: int, rollout: Rollout, told: Told) -> Listed:
        texts, prompt = tuple(map(self.decode, rollout.responses)), lines_of(self.prompts.rows.messages(row))
        return Listed(rollout, row, texts, Judged(), prompt, told=told)

    def _with_told(self, prompts: Sequence[Prompt]) -> list[tuple[Rollout, Told]]:
        """The responses of this rank, with what the policy itself says of them where that is asked for."""
        rollouts = self.generator.draw(prompts, self.samples - bool(self.reference), self.how)
        if self.reference:
            rollouts = with_one_of_reference(rollouts, self.reference)
        told: Sequence[Told] = self.tell_of(rollouts) if self.tell_of else [{} for _ in rollouts]
        if self.reference:
            told = [
                {**of_one, "from_reference": from_reference(one)}
                for of_one, one in zip(told, rollouts, strict=True)
            ]
        return [*zip(rollouts, told, strict=True)]

    def ask(self, lists: Sequence[Listed]) -> Begun:
        """Put the judge to work on lists; on other ranks than the first there are none."""
        asked = [*map(self._asked, lists)]
        return Begun(tuple(lists), self.asker(asked) if lists else list)

    def relearn(self, drawn: Drawn) -> None:
        """Have a judge that learns learn what it learned at a draw, of which it does not know in this process."""
        if not isinstance(self.judge, Learner):
            return
        lists = [one for one in drawn.lists if GOLD in one.judged.aspects]
        self.judge.learn([*map(self._asked, lists)], [one.judged.aspects[GOLD] for one in lists])

    def _asked(self, one: Listed) -> Asked:
        """What the judge is asked of a list."""
        rows = self.prompts.rows
        meta = rows.examples[int(rows.places[one.row])].meta
        return Asked(one.rollout.id, rows.messages(one.row), one.texts, one.rollout.finished, meta)

    def _settled(self, begun: Begun, *, learns: bool = False) -> list[Listed]:
        """The lists that the first rank makes of responses and verdicts, on all ranks."""
        return list(ranks.broadcast(self._labelled(begun, learns) if ranks.main() else None))

    def _labelled(self, begun: Begun, learns: bool) -> list[Listed]:
        with self._timed("judge"):
            gold = self._learned(begun.lists) if learns else None
            said = begun.said()
        if gold is not None:
            said = [with_gold(*both) for both in zip(said, gold, strict=True)]
        judged = [replace(one, judged=verdict) for one, verdict in zip(begun.lists, said, strict=True)]
        return [self.labelling(self._beside(one)) for one in judged]

    def _learned(self, lists: Sequence[Listed]) -> Sequence[Sequence[float | None] | None] | None:
        """What a judge that learns was told of the lists, before it judges them; None of one that does not."""
        return self.judge.learn([*map(self._asked, lists)]) if isinstance(self.judge, Learner) else None

    def _beside(self, one: Listed) -> Listed:
        """The list with the exact reward of its responses, where there is one."""
        if self.gold is None:
            return one
        return replace(one, gold=tuple(worth(self.gold(one.prompt, text))[0] for text in one.texts))

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - began


def _first_of(lists: Sequence[Listed], wanted: int) -> list[Listed]:
    """The lists, of which the first ones that are not dropped stay, as many as are wanted."""
    left, result = wanted, []
    for one in lists:
        result.append(one if one.dropped or left else one.without("more than were wanted"))
        left -= not result[-1].dropped
    return result


def _nothing_left(drawn: Drawn) -> str:
    reasons: dict[str, int] = {}
    for one in drawn.lists:
        reasons[one.dropped] = reasons.get(one.dropped, 0) + 1
    listed = ", ".join(f"{reason}: {count}" for reason, count in sorted(reasons.items()))
    ways = {
        "all tied": "the judge gives all responses to a prompt the same: look at what it says, or raise "
        "online.samples or online.temperature",
        "no response finished": "no response comes to its end: raise online.max_new_tokens, or use "
        "online.unfinished=keep",
        "the segment came out as it was": "what is drawn is what stood there: raise online.max_new_tokens, or "
        "online.temperature",
        "no two steps differ in worth": "the judge gives all responses of a tree the same: look at what it says, or "
        "raise online.draw.iterations or online.samples",
        "fewer than two responses finished": "hardly any response comes to its end: raise online.max_new_tokens, or "
        "use online.unfinished=keep",
    }
    way = ways.get(max(reasons, key=lambda reason: reasons[reason]), "look at what the judge says")
    return (
        f"step {drawn.head.step + 1}: of {len(drawn.lists)} lists that were drawn, none can be trained on ({listed}): "
        f"{way}. The run goes on from its last checkpoint with resume=auto"
    )
