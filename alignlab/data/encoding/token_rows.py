"""Tokenized rows as memory-mapped flat arrays, from which batches are collated."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alignlab.errors import DataError
from alignlab.types import Example, Message

Array = NDArray[Any]
Indices = Sequence[int] | Array


@dataclass(frozen=True)
class Lists:
    """Ragged lists as values and offsets: list i is `values[offsets[i]:offsets[i + 1]]`.

    `picks` chooses some of the lists, in another order and without a copy: list i is then the one at `picks[i]`.
    """

    values: Array
    offsets: Array
    picks: Array | None = None

    def __len__(self) -> int:
        return len(self.offsets) - 1 if self.picks is None else len(self.picks)

    def __getitem__(self, index: int | np.integer) -> Array:
        place = int(index) if self.picks is None else self.picks.item(index)
        return self.values[self.offsets.item(place) : self.offsets.item(place + 1)]

    @cached_property
    def lengths(self) -> Array:
        """The number of elements of each list."""
        if self.picks is None:
            return np.diff(self.offsets)
        return self.offsets[self.picks + 1] - self.offsets[self.picks]

    def take(self, indices: Array) -> "Lists":
        """The lists at the places `indices`, in this order, without a copy."""
        return replace(self, picks=indices if self.picks is None else self.picks[indices])


def ranges(starts: Array, sizes: Array) -> Array:
    """Return the numbers from each start on, as many as its size says, one range after the other.

    >>> ranges(np.array([5, 0]), np.array([2, 3])).tolist()
    [5, 6, 0, 1, 2]
    """
    ends = np.cumsum(sizes, dtype=np.int64)
    return np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - (ends - sizes), sizes)


def list_key(prompts: Sequence[Any], responses: Sequence[Any]) -> bytes:
    """Return the SHA-256 of the token ids of a list and of where they stand; one prompt, or one for each response."""
    sizes = [len(prompts), len(responses), *map(len, chain(prompts, responses))]
    ids = [np.asarray(part, dtype=np.int64) for part in (sizes, *prompts, *responses)]
    return hashlib.sha256(np.concatenate(ids).data).digest()


KEY = "S32"
"""The dtype of keys of lists: bytes of a SHA-256."""


@dataclass(frozen=True)
class RowIds(Sequence[str]):
    """The ids of rows, each decoded when it is asked for."""

    names: Lists
    """The ids as UTF-8 bytes."""

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        return self.names[index].tobytes().decode()


@dataclass(frozen=True)
class TokenRows:
    """Tokenized rows: `members` holds the numbers of the responses of each list.

    Texts stay in the examples: row i was made of `examples[places[i]]`.
    """

    examples: Sequence[Example]
    places: Array
    ids: RowIds
    prompts: Lists
    """The prompt of each list; where responses have a prompt each, that of the first."""
    responses: Lists
    members: Lists
    labels: Lists
    rewards: Lists | None
    weights: Array
    highest: Array
    """The largest token id of each list."""
    cached: Mapping[str, Array] = field(default_factory=dict)
    """Cached signals of references by name, one value for each response, in the order of `responses`."""
    drawn: Mapping[str, Lists] = field(default_factory=dict)
    """What a sampler told of its responses by name (`drawn.py`), for each response in the order of `responses`: one
    value, or one for each of its tokens."""
    rationales: tuple[Lists, Lists] | None = None
    """The prompt and the text of each list's rationale; both are empty where it has none."""
    samples: tuple[Lists, ...] = ()
    """M responses of the policy itself to the prompt of each list, of which each entry holds one a list."""
    own_prompts: Lists | None = None
    """The prompt of each response, where those of its list have one each; else empty."""
    content: str = ""
    """The hash of the tokens, where it is known; see `tokens_hash`."""
    stored_keys: Array | None = None
    """The key of each list, where they are stored; see `keys`."""

    def __len__(self) -> int:
        return len(self.prompts)

    def messages(self, index: int) -> list[Message]:
        """The messages of the prompt of list `index`."""
        return self.examples[int(self.places[index])].prompt

    def source(self, index: int) -> str:
        """The source of list `index`; `unknown` where it names none."""
        return str(self.examples[int(self.places[index])].meta.get("source") or "unknown")

    def user(self, index: int) -> str:
        """The user whose preferences list `index` holds; DataError where it names none."""
        if user := self.examples[int(self.places[index])].meta.get("user"):
            return str(user)
        raise DataError(
            f"row {self.ids[index]} names no user, whose preferences a user model learns: use data with users "
            "(meta.user of data=local, data.source.users of data=lab)"
        )

    def wins(self, index: int) -> Array:
        """Who of list `index` was preferred to whom: 1, 0, or 1/2 for neither, `[K, K]`; by its labels, or `meta`."""
        if table := self.examples[int(self.places[index])].meta.get("wins"):
            size = int(self.members.lengths[index])
            if [len(row) for row in table] != [size] * size:
                raise DataError(
                    f"row {self.ids[index]}: meta.wins has to be a table of its {size} responses by each other"
                )
            return np.asarray(table, dtype=np.float64)
        labels = self.labels[index]
        return (1 + np.sign(labels[:, None] - labels[None, :])) / 2

    def ratings(self, index: int, attributes: Sequence[str]) -> Array:
        """The ratings of the responses of list `index` by attribute, `[K, A]`; NaN where one is not known."""
        size = int(self.members.lengths[index])
        rated = self.examples[int(self.places[index])].meta.get("ratings") or [{}] * size
        if len(rated) != size:
            raise DataError(
                f"row {self.ids[index]}: meta.ratings has to hold one table for each of its {size} responses"
            )
        return np.array(
            [[ratings.get(name, np.nan) for name in attributes] for ratings in rated], dtype=np.float64
        )

    def parts(self, index: int) -> list[tuple[Array, Array]]:
        """The prompts of list `index`, each with the numbers of the responses that follow it."""
        members = self.members[index]
        if self.own_prompts is None or not len(self.own_prompts[members[0]]):
            return [(self.prompts[index], members)]
        return [(self.own_prompts[member], members[k : k + 1]) for k, member in enumerate(members)]

    @cached_property
    def widths(self) -> Array:
        """The length of each list's longest prompt with response, in tokens, `[lists]`."""
        totals = np.repeat(self.prompts.lengths, self.members.lengths) + self.responses.lengths
        if self.own_prompts is not None:
            own = self.own_prompts.lengths
            totals = np.where(own > 0, own + self.responses.lengths, totals)
        widths = np.maximum.reduceat(totals, self.members.offsets[:-1]) if len(self) else totals
        for one in self.samples:
            widths = np.maximum(widths, self.prompts.lengths + one.lengths)
        return widths

    @cached_property
    def unique(self) -> Array:
        """The number of tokens of each list, samples included, its prompt counted once, `[lists]`."""
        responses = self._summed(self.responses.lengths) + sum(one.lengths for one in self.samples)
        if self.own_prompts is None:
            return self.prompts.lengths + responses
        own = self._summed(self.own_prompts.lengths)
        return np.where(own > 0, own, self.prompts.lengths) + responses

    def _summed(self, values: Array) -> Array:
        """The sums of values of responses over each list."""
        return np.diff(np.concatenate([[0], np.cumsum(values)])[self.members.offsets])

    @cached_property
    def tokens_hash(self) -> str:
        """The hash of the tokens and of where they stand, but not of labels, rewards and texts."""
        if self.content:
            return self.content
        digest = hashlib.sha256()
        for lists in (
            self.prompts,
            self.responses,
            self.members,
            *([self.own_prompts] if self.own_prompts else []),
        ):
            digest.update(np.ascontiguousarray(lists.values).data)
            digest.update(np.ascontiguousarray(lists.offsets).data)
        return digest.hexdigest()

    @cached_property
    def keys(self) -> Array:
        """The key of each list `[lists]`, by which its scores are kept: the hash of its tokens alone."""
        if self.stored_keys is not None:
            return self.stored_keys
        hashed = []
        for index in range(len(self)):
            parts = self.parts(index)
            members = [self.responses[member] for _, numbers in parts for member in numbers]
            hashed.append(list_key([prompt for prompt, _ in parts], members))
        return np.array(hashed, dtype=KEY)

    def take(self, indices: Indices) -> "TokenRows":
        """The rows at the places `indices`, in this order; tokens are not copied."""
        picks = np.asarray(indices, dtype=np.int64)
        if np.array_equal(picks, np.arange(len(self))):
            return self
        sizes = self.members.lengths[picks]
        offsets = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
        numbers = ranges(self.members.offsets[picks], sizes)
        return TokenRows(
            examples=self.examples,
            places=self.places[picks],
            ids=RowIds(self.ids.names.take(picks)),
            prompts=self.prompts.take(picks),
            responses=self.responses.take(numbers),
            members=Lists(np.arange(len(numbers)), offsets),
            labels=self.labels.take(picks),
            rewards=self.rewards and self.rewards.take(picks),
            weights=self.weights[picks],
            highest=self.highest[picks],
            cached={name: values[numbers] for name, values in self.cached.items()},
            drawn={name: values.take(numbers) for name, values in self.drawn.items()},
            rationales=self.rationales and (self.rationales[0].take(picks), self.rationales[1].take(picks)),
            samples=tuple(one.take(picks) for one in self.samples),
            own_prompts=self.own_prompts and self.own_prompts.take(numbers),
            content=hashlib.sha256(self.tokens_hash.encode() + picks.tobytes()).hexdigest(),
            stored_keys=None if self.stored_keys is None else self.stored_keys[picks],
        )

    def with_cached(self, scores: Mapping[str, Array]) -> "TokenRows":
        """These rows with cached signals of a reference attached."""
        return replace(self, cached={**self.cached, **scores})
