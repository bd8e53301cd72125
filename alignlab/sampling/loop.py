"""The loop that draws: rows go on together, those that ended are taken out, and the next ones come in their place."""

from collections import deque
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from alignlab.sampling.context import Context, Reader
from alignlab.sampling.contrastive import look_ahead
from alignlab.sampling.distribution import choose
from alignlab.sampling.rollout import Prompt, Row
from alignlab.sampling.settings import Sampling

ENDED = 8
"""Rows that ended are taken out as soon as they are one in so many; until then they are read on for nothing."""
PREFILL_TOKENS = 2**13
"""The number of prompt tokens, padding included, that are read at once."""


def continued(
    reader: Reader, prompts: Sequence[Prompt], rows: Sequence[Row], how: Sampling, at_once: int
) -> Iterator[Row]:
    """Draw rows, at most so many together, and yield each as it ends."""
    waiting, group = deque(rows), Group(reader, prompts, how)
    while waiting or group.rows:
        if waiting and (free := at_once - len(group.rows)):
            group.add([waiting.popleft() for _ in range(min(free, len(waiting)))])
        yield from group.step()


class Group:
    """The rows that are drawn together, and what the model has read of them."""

    def __init__(self, reader: Reader, prompts: Sequence[Prompt], how: Sampling) -> None:
        self.reader, self.prompts, self.how = reader, prompts, how
        self.rows: list[Row] = []
        self.context: Context | None = None

    def add(self, rows: Sequence[Row]) -> None:
        """Take up rows: each of their prompts is read once, and its cache repeated."""
        numbers = [*dict.fromkeys(row.prompt for row in rows)]
        for some in self._affordable(numbers):
            own = [row for row in rows if row.prompt in some]
            prompts = [self.prompts[number].ids for number in some]
            context = Context.of(self.reader, prompts, keep_seen=self.how.decoder == "contrastive")
            context.select(self._tensor([some.index(row.prompt) for row in own]))
            if self.context is None:
                self.context = context
            else:
                self.context.join(context)
            self.rows += own
        self._note_keys()

    def step(self) -> list[Row]:
        """Draw one token of each row; gives the rows that end with it."""
        assert self.context is not None
        ahead = self.how.decoder == "contrastive"
        if ahead:
            tokens, logps = look_ahead(self.context, self.how)
        else:
            places = self._tensor([len(row.tokens) for row in self.rows])
            tokens, logps = choose(self.context.logits, self.how, self.keys, self.samples, places)
        going = [row for row in self.rows if not row.ended]
        for row, token, logp in zip(self.rows, tokens.tolist(), logps.tolist(), strict=True):
            if not row.ended:
                row.add(token, logp, self.how.stop)
        left = [i for i, row in enumerate(self.rows) if not row.ended]
        if len(self.rows) - len(left) >= max(1, len(self.rows) // ENDED):
            tokens = self._keep(left, tokens)
        if self.context is not None and not ahead:
            self.context.advance(tokens)
        return [row for row in going if row.ended]

    def _keep(self, left: list[int], tokens: Tensor) -> Tensor:
        """Take out all rows but these; gives their tokens."""
        self.rows, where = [self.rows[i] for i in left], self._tensor(left)
        if not left:
            self.context = None
            return tokens[:0]
        assert self.context is not None
        self.context.select(where)
        self._note_keys()
        return tokens[where]

    def _note_keys(self) -> None:
        self.keys = self._tensor([self.prompts[row.prompt].noise_key(self.how.seed) for row in self.rows])
        self.samples = self._tensor([row.sample for row in self.rows])

    def _affordable(self, numbers: Sequence[int]) -> Iterator[list[int]]:
        """Prompts in groups that are read at once."""
        some: list[int] = []
        width = 0
        for number in numbers:
            wider = max(width, len(self.prompts[number].ids))
            if some and wider * (len(some) + 1) > PREFILL_TOKENS:
                yield some
                some, wider = [], len(self.prompts[number].ids)
            some, width = [*some, number], wider
        yield some

    def _tensor(self, values: Sequence[int] | Sequence[tuple[int, int]]) -> Tensor:
        return torch.tensor(values, device=self.reader.device)
