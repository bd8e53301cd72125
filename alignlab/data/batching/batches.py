"""Collates tokenized rows into micro-batches within a token budget, and orders the optimizer steps."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from alignlab.data.encoding.token_rows import Array, TokenRows
from alignlab.errors import DataError
from alignlab.signals import BASE
from alignlab.types import Batch

Step = list[Batch]
"""The micro-batches of one optimizer step."""


@dataclass(frozen=True)
class Extras:
    """The extra rows and token marks that an objective wants in its batches beside the lists themselves."""

    mismatched: bool = False
    """Whether each prompt comes once more, with a response of the next list of the optimizer step."""
    rationale: bool = False
    """Whether the rationale of each list comes along, after a prompt of its own."""
    step_ends: Array | None = None
    """Whether each token of the vocabulary ends a reasoning step, `[vocabulary]`; None without such steps."""
    users: bool = False
    """Whether the user of each list comes along."""
    tasks: tuple[str, ...] = ()
    """The sources whose numbers come along, as tasks."""
    attributes: tuple[str, ...] = ()
    """The attributes whose ratings come along."""
    wins: bool = False
    """Whether the preference between every two responses comes along, which labels may not tell."""
    max_length: int | None = None
    """The largest length of a mismatched prompt with response, in tokens; None for no limit."""


NO_EXTRAS = Extras()


class _Row:
    """The packed tokens of a micro-batch as it grows."""

    def __init__(self, extras: Extras) -> None:
        self.extras = extras
        self.tokens: list[Array] = []
        self.columns: dict[str, list[Array]] = {"positions": [], "prompt": [], "row": [], "step": []}
        self.prompts = self.rows = 0

    def add(self, prompt: Array, responses: Sequence[Array]) -> range:
        """Append a prompt with its responses after it; returns the numbers of the responses."""
        added = range(self.rows, self.rows + len(responses))
        self._piece(prompt, 0, -1, np.full(len(prompt), -1))
        for number, ids in zip(added, responses, strict=True):
            self._piece(ids, len(prompt), number, self._steps(ids))
        self.prompts, self.rows = self.prompts + 1, added.stop
        return added

    def _steps(self, ids: Array) -> Array:
        if self.extras.step_ends is None:
            return np.zeros(len(ids), dtype=np.int64)
        ends = self.extras.step_ends[ids]
        ends[-1:] = False  # what follows the last token is no step
        return np.cumsum(ends) - ends

    def _piece(self, ids: Array, first: int, number: int, step: Array) -> None:
        self.tokens.append(ids)
        self.columns["positions"].append(np.arange(first, first + len(ids)))
        self.columns["prompt"].append(np.full(len(ids), self.prompts))
        self.columns["row"].append(np.full(len(ids), number))
        self.columns["step"].append(step)


def collate(
    rows: TokenRows,
    indices: Sequence[int],
    extras: Extras = NO_EXTRAS,
    partners: Mapping[int, int] | None = None,
) -> Batch:
    """Pack the lists at `indices` into one micro-batch: each prompt once, its responses after it.

    A list whose responses have a prompt each has as many prompts as responses; a mismatched response
    follows the first, and so do samples. `partners` holds, for every list, the number of a response of another list,
    where `extras` wants mismatched ones.
    """
    packed = _Row(extras)
    slot = torch.full((len(indices), max(int(rows.members.lengths[i]) for i in indices)), -1)
    extra = {
        name: torch.full((len(indices),), -1) for name in ("mismatched", "rationale") if getattr(extras, name)
    }
    if rows.samples:
        extra["sample"] = torch.full((len(indices), len(rows.samples)), -1)
    for b, index in enumerate(indices):
        filled = 0
        for prompt, members in rows.parts(index):
            responses = [rows.responses[member] for member in members]
            if extras.mismatched and partners and not filled:
                room = None if extras.max_length is None else max(1, extras.max_length - len(prompt))
                responses.append(rows.responses[partners[index]][:room])
                extra["mismatched"][b] = packed.rows + len(members)
            if rows.samples and not filled:
                extra["sample"][b] = packed.rows + len(responses) + torch.arange(len(rows.samples))
                responses += [one[index] for one in rows.samples]
            numbers = packed.add(prompt, responses)[: len(members)]
            slot[b, filled : filled + len(members)] = torch.tensor(numbers)
            filled += len(members)
        if extras.rationale and rows.rationales and len(rows.rationales[1][index]):
            asked, reason = (part[index] for part in rows.rationales)
            extra["rationale"][b] = packed.add(asked, [reason])[0]
    columns = {name: _joined(pieces) for name, pieces in packed.columns.items()}
    step = columns.pop("step")
    return Batch(
        tokens=_joined(packed.tokens),
        slot=slot,
        labels=_dense([rows.labels[i] for i in indices]),
        weights=torch.tensor(rows.weights[list(indices)], dtype=torch.float64),
        ids=tuple(rows.ids[i] for i in indices),
        rewards=None if rows.rewards is None else _dense([rows.rewards[i] for i in indices]),
        cached={
            name: _dense([values[rows.members[i]] for i in indices]) for name, values in rows.cached.items()
        },
        drawn={
            name: _drawn(name, [[values[member] for member in rows.members[i]] for i in indices])
            for name, values in rows.drawn.items()
        },
        extra=extra,
        step=None if extras.step_ends is None else step,
        users=tuple(rows.user(i) for i in indices) if extras.users else (),
        wins=_square([rows.wins(i) for i in indices]) if extras.wins else None,
        tasks=torch.tensor([extras.tasks.index(rows.source(i)) for i in indices]) if extras.tasks else None,
        ratings=_dense([rows.ratings(i, extras.attributes) for i in indices]) if extras.attributes else None,
        positions=columns["positions"],
        prompt=columns["prompt"],
        row=columns["row"],
    )


def within_budget(
    rows: TokenRows, indices: Sequence[int], budget: int, *, packed: bool = False
) -> Iterator[list[int]]:
    """Cut lists into micro-batches of at most `budget` tokens (one list at least), the largest lists first.

    With `packed` the tokens of a list count with its prompt once; else every response counts with its prompt,
    padded to the longest of the micro-batch.
    """
    cost = rows.unique if packed else rows.widths
    group: list[int] = []
    total = widest = responses = 0
    for index in sorted(indices, key=lambda i: (-int(cost[i]), i)):
        size = int(rows.members.lengths[index]) + len(rows.samples)
        width = max(widest, int(rows.widths[index]))
        grown = total + int(rows.unique[index]) if packed else width * (responses + size)
        if group and grown > budget:
            yield group
            group, total, widest, responses = [], 0, 0, 0
        group.append(index)
        total, responses = total + int(rows.unique[index]), responses + size
        widest = max(widest, int(rows.widths[index]))
    if group:
        yield group


def shares(cost: Array, indices: Sequence[int], world: int) -> list[list[int]]:
    """Distribute lists over ranks: the costliest first, each to the rank with the lowest cost so far.

    >>> shares(np.array([5, 1, 4, 2]), [0, 1, 2, 3], 2)
    [[0, 1], [2, 3]]
    """
    dealt: list[list[int]] = [[] for _ in range(world)]
    load = [0] * world
    for index in sorted(indices, key=lambda i: (-int(cost[i]), i)):
        rank = min(range(world), key=lambda r: (load[r], r))
        dealt[rank].append(index)
        load[rank] += int(cost[index])
    return dealt


class StepLoader:
    """An iterable over the micro-batches of each optimizer step, which can start at any step at no cost.

    Epoch e is a permutation drawn from (seed, e), or the stored order without `shuffle`; a step takes
    the next `lists_per_step` lists of it, and the last step of an epoch may be smaller. No global
    random state is read, so that the order is a function of the arguments alone.

    Each of `world` ranks gets its share of every step, in as many micro-batches as the others: a rank
    with less to do gets idle ones.
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
        packed: bool = False,
        extras: Extras = NO_EXTRAS,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.rank, self.world = rank, world
        self.rows, self.start, self.shuffle, self.seed = rows, start, shuffle, seed
        self.lists_per_step, self.microbatch_tokens = lists_per_step, microbatch_tokens
        self.packed, self.extras = packed, extras
        self.steps = self.steps_per_epoch if steps is None else steps
        self._drawn: tuple[int, Array] | None = None

    def over(self, rows: TokenRows, **changes: Any) -> "StepLoader":
        """A loader with these settings over other rows; `changes` are settings that it has instead."""
        settings = {
            "lists_per_step": self.lists_per_step,
            "microbatch_tokens": self.microbatch_tokens,
            "steps": self.steps,
            "start": self.start,
            "shuffle": self.shuffle,
            "seed": self.seed,
            "packed": self.packed,
            "extras": self.extras,
            "rank": self.rank,
            "world": self.world,
        }
        return StepLoader(rows, **{**settings, **changes})

    def at(self, step: int) -> "StepLoader":
        """These steps from another one on."""
        return self.over(self.rows, start=step)

    @property
    def steps_per_epoch(self) -> int:
        """The number of optimizer steps in one pass over the rows."""
        return -(-len(self.rows) // self.lists_per_step)

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[Step]:
        for step in range(self.start, self.steps):
            indices = self.indices(step)
            partners = self._partners(indices) if self.extras.mismatched else None
            groups, idle = self._groups(indices)
            batches = [collate(self.rows, group, self.extras, partners) for group in groups]
            if idle:
                least = collate(self.rows, [min(indices, key=self._size)], self.extras, partners)
                batches += [replace(least, idle=True)] * idle
            yield batches

    def indices(self, step: int) -> list[int]:
        """The numbers of the rows that an optimizer step (from 0) holds."""
        epoch, within = divmod(step, self.steps_per_epoch)
        first = within * self.lists_per_step
        return self._order(epoch)[first : first + self.lists_per_step].tolist()

    def _groups(self, indices: Sequence[int]) -> tuple[list[list[int]], int]:
        """The micro-batches of this rank, and how many more another rank has at most."""
        dealt = shares(self._cost, indices, self.world) if self.world > 1 else [list(indices)]
        cut = [
            list(within_budget(self.rows, part, self.microbatch_tokens, packed=self.packed)) for part in dealt
        ]
        own = cut[self.rank]
        return own, max(map(len, cut)) - len(own)

    @property
    def _cost(self) -> Array:
        return self.rows.unique if self.packed else self.rows.widths

    def _size(self, index: int) -> int:
        return int(self._cost[index])

    def own_share(self) -> Iterator[Batch]:
        """This rank's share of all rows, each once, in micro-batches."""
        own = range(self.rank, len(self.rows), self.world)
        for group in within_budget(self.rows, own, self.microbatch_tokens, packed=self.packed):
            yield collate(self.rows, group, self.extras)

    def largest(self) -> Batch:
        """The largest micro-batch that the optimizer steps could hold."""
        visited = self.visited()
        most = visited[np.argsort(-self._cost[visited], kind="stable")[: self.lists_per_step]].tolist()
        group = next(within_budget(self.rows, most, self.microbatch_tokens, packed=self.packed))
        partners = self._partners(group) if self.extras.mismatched else None
        return collate(self.rows, group, self.extras, partners)

    def _partners(self, indices: Sequence[int]) -> dict[int, int]:
        """For each list a response of the next list of the optimizer step, whatever the micro-batches."""
        alone = len(indices) == 1
        others = [(indices[0] + 1) % len(self.rows)] if alone else [*indices[1:], indices[0]]
        members = [self.rows.members[other] for other in others]
        return {i: int(m[place % len(m)]) for place, (i, m) in enumerate(zip(indices, members, strict=True))}

    def visited(self) -> Array:
        """The numbers of the rows that the optimizer steps will see, in stored order."""
        drawn = self.steps * self.lists_per_step
        return np.arange(len(self.rows)) if drawn >= len(self.rows) else np.sort(self._order(0)[:drawn])

    def _order(self, epoch: int) -> Array:
        """The numbers of all rows in the order of an epoch; the last order that was asked for is cached."""
        if self._drawn is None or self._drawn[0] != epoch:
            rows = len(self.rows)
            order = (
                np.random.default_rng([self.seed, epoch]).permutation(rows)
                if self.shuffle
                else np.arange(rows)
            )
            self._drawn = epoch, order
        return self._drawn[1]


def require_rows(rows: TokenRows, split: str) -> None:
    """Raise DataError where a split has no rows."""
    if not len(rows):
        raise DataError(
            f"no {split} rows are left after tokenizing (see dropped_rows.jsonl in the run folder): if prompts are "
            "longer than the model's context, cut them with data.max_prompt_length=..., or raise data.max_length="
        )


def _joined(pieces: list[Any]) -> torch.Tensor:
    return torch.from_numpy(np.concatenate(pieces).astype(np.int64))


def _square(tables: list[Any]) -> torch.Tensor:
    widest = max(len(table) for table in tables)
    out = torch.full((len(tables), widest, widest), 0.5)
    for b, table in enumerate(tables):
        out[b, : len(table), : len(table)] = torch.tensor(table)
    return out


def _drawn(name: str, lists: list[list[Array]]) -> torch.Tensor:
    """What a sampler told, `[B, K, L]`, or `[B, K]` where it is one value a response."""
    widest = max(len(values) for values in lists)
    longest = max(len(each) for values in lists for each in values)
    out = torch.zeros((len(lists), widest, longest), dtype=torch.float64)
    for b, values in enumerate(lists):
        for k, each in enumerate(values):
            out[b, k, : len(each)] = torch.from_numpy(np.asarray(each, dtype=np.float64))
    return out if BASE[name].shape == "B K L" else out[:, :, 0]


def _dense(lists: list[Any]) -> torch.Tensor:
    shape = (len(lists), max(len(values) for values in lists), *np.shape(lists[0])[1:])
    out = torch.zeros(shape, dtype=torch.float64)
    for b, values in enumerate(lists):
        out[b, : len(values)] = torch.tensor(values)
    return out
