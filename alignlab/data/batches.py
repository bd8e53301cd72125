"""From tokenized rows to micro-batches: collation, token budget, and the order of steps."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from alignlab.data.token_rows import TokenRows
from alignlab.errors import DataError
from alignlab.types import Batch

Step = list[Batch]
"""The micro-batches of one optimizer step."""


def collate(rows: TokenRows, indices: Sequence[int]) -> Batch:
    """Pack lists into one micro-batch: each prompt once, its responses behind it."""
    tokens, positions, prompt, row = [], [], [], []
    sizes = [int(rows.members.lengths[i]) for i in indices]
    slot = torch.full((len(indices), max(sizes)), -1)
    count = 0
    for b, index in enumerate(indices):
        start = rows.prompts[index]
        pieces = [(start, 0, -1)]
        for k, member in enumerate(rows.members[index]):
            slot[b, k] = count
            pieces.append((rows.responses[member], len(start), count))
            count += 1
        for ids, first, number in pieces:
            tokens.append(ids)
            positions.append(np.arange(first, first + len(ids)))
            prompt.append(np.full(len(ids), b))
            row.append(np.full(len(ids), number))
    members = [rows.members[index] for index in indices]
    return Batch(
        tokens=_joined(tokens),
        positions=_joined(positions),
        prompt=_joined(prompt),
        row=_joined(row),
        slot=slot,
        labels=_dense([rows.labels[i] for i in indices]),
        weights=torch.tensor(rows.weights[list(indices)], dtype=torch.float32),
        ids=tuple(rows.ids[i] for i in indices),
        rewards=None if rows.rewards is None else _dense([rows.rewards[i] for i in indices]),
        ref_logps=None if rows.ref_logps is None else _dense([rows.ref_logps[m] for m in members]),
    )


def within_budget(rows: TokenRows, indices: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Cut lists into micro-batches of at most `budget` padded tokens, lists of like length together."""
    group: list[int] = []
    widest = responses = 0
    for index in sorted(indices, key=lambda i: (-int(rows.costs[i]), i)):
        size = int(rows.members.lengths[index])
        width = int(rows.costs[index]) // size
        grown = max(widest, width) * (responses + size)
        if group and grown > budget:
            yield group
            group, widest, responses = [], 0, 0
        group.append(index)
        widest, responses = max(widest, width), responses + size
    if group:
        yield group


class StepLoader:
    """Optimizer steps over tokenized rows: an iterable that starts anywhere at no cost.

    Epoch e is a permutation drawn from (seed, e), or the stored order without `shuffle`; a step is
    the next `lists_per_step` lists of it, and the last step of an epoch may be smaller. No global
    random state is read, so order is a function of the arguments alone.
    """

    def __init__(
        self,
        rows: TokenRows,
        *,
        lists_per_step: int,
        microbatch_tokens: int,
        steps: int | None = None,
        start: int = 0,
        shuffle: bool = False,
        seed: int = 0,
    ) -> None:
        self.rows, self.start, self.shuffle, self.seed = rows, start, shuffle, seed
        self.lists_per_step, self.microbatch_tokens = lists_per_step, microbatch_tokens
        self.steps = self.steps_per_epoch if steps is None else steps

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps in one pass over the rows."""
        return -(-len(self.rows) // self.lists_per_step)

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[Step]:
        for step in range(self.start, self.steps):
            groups = within_budget(self.rows, self.indices(step), self.microbatch_tokens)
            yield [collate(self.rows, group) for group in groups]

    def indices(self, step: int) -> list[int]:
        """Which rows a step holds."""
        epoch, within = divmod(step, self.steps_per_epoch)
        first = within * self.lists_per_step
        return self._order(epoch)[first : first + self.lists_per_step].tolist()

    def visited(self) -> Any:
        """Rows that these steps will see, in stored order."""
        seen = self.steps * self.lists_per_step
        return np.arange(len(self.rows)) if seen >= len(self.rows) else np.sort(self._order(0)[:seen])

    def _order(self, epoch: int) -> Any:
        if not self.shuffle:
            return np.arange(len(self.rows))
        return np.random.default_rng([self.seed, epoch]).permutation(len(self.rows))


def require_rows(rows: TokenRows, split: str) -> None:
    """DataError where a split came out empty."""
    if not len(rows):
        raise DataError(
            f"no {split} rows are left after tokenizing (see dropped_rows.jsonl in the run folder): if prompts are "
            "longer than the model's context, cut them with data.max_prompt_length=..., or raise data.max_length="
        )


def _joined(pieces: list[Any]) -> torch.Tensor:
    return torch.from_numpy(np.concatenate(pieces).astype(np.int64))


def _dense(lists: list[Any]) -> torch.Tensor:
    out = torch.zeros(len(lists), max(len(values) for values in lists))
    for b, values in enumerate(lists):
        out[b, : len(values)] = torch.tensor(values)
    return out
