"""Tokenized lists as flat arrays in an Arrow file: what batches are cut from."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alignlab.data.tokenize import Tokens
from alignlab.types import Example, Message

Array = NDArray[Any]
Indices = Sequence[int] | Array


@dataclass(frozen=True)
class Lists:
    """Ragged lists as values and offsets: list i is `values[offsets[i]:offsets[i + 1]]`."""

    values: Array
    offsets: Array

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int | np.integer) -> Array:
        return self.values[self.offsets[index] : self.offsets[index + 1]]

    @property
    def lengths(self) -> Array:
        """Elements of each list."""
        return np.diff(self.offsets)


@dataclass(frozen=True)
class TokenRows:
    """Tokenized preference lists. `members` holds, per list, the numbers of its responses."""

    dataset: Any
    prompts: Lists
    responses: Lists
    members: Lists
    labels: Lists
    rewards: Lists | None
    weights: Array
    cached: Mapping[str, Array] = field(default_factory=dict)
    """Scores of references by signal name, one value a response, in the order of `responses`."""
    rationales: tuple[Lists, Lists] | None = None
    """Prompt and text of each list's rationale; empty where it has none."""

    def __len__(self) -> int:
        return len(self.prompts)

    @cached_property
    def ids(self) -> list[str]:
        """Row ids in order."""
        return list(self.dataset["id"])

    @cached_property
    def widths(self) -> Array:
        """Tokens of each list's longest prompt-and-response."""
        totals = np.repeat(self.prompts.lengths, self.members.lengths) + self.responses.lengths
        return np.maximum.reduceat(totals, self.members.offsets[:-1]) if len(self) else totals

    @cached_property
    def unique(self) -> Array:
        """Tokens of each list, its prompt counted once."""
        ends = np.concatenate([[0], np.cumsum(self.responses.lengths)])[self.members.offsets]
        return self.prompts.lengths + np.diff(ends)

    def messages(self, index: int) -> list[Message]:
        """The prompt of a row, as text."""
        return json.loads(self.dataset[index]["prompt"])

    def take(self, indices: Indices) -> "TokenRows":
        """The rows at these places, in this order."""
        members = [self.members[index] for index in indices]
        kept = np.concatenate(members) if members else np.zeros(0, dtype=np.int64)
        return TokenRows(
            dataset=self.dataset.select(indices),
            prompts=_gather(self.prompts, indices),
            responses=_gather(self.responses, kept),
            members=Lists(np.arange(len(kept)), _offsets([len(group) for group in members])),
            labels=_gather(self.labels, indices),
            rewards=None if self.rewards is None else _gather(self.rewards, indices),
            weights=self.weights[list(indices)],
            cached={name: values[kept] for name, values in self.cached.items()},
            rationales=self.rationales and tuple(_gather(part, indices) for part in self.rationales),  # type: ignore[arg-type]
        )

    def with_cached(self, scores: Mapping[str, Array]) -> "TokenRows":
        """The same rows with scores of a reference attached."""
        return replace(self, cached={**self.cached, **scores})


def write(folder: Path, examples: Sequence[Example], tokens: Iterable[Tokens]) -> None:
    """Save tokenized examples as an Arrow dataset."""
    from datasets import Dataset, Features, List, Value

    ids = List(Value("int32"))
    features = Features(
        {
            "id": Value("string"),
            "prompt": Value("string"),
            "responses": Value("string"),
            "meta": Value("string"),
            "weight": Value("float64"),
            "labels": List(Value("float64")),
            "rewards": List(Value("float64")),
            "prompt_ids": ids,
            "response_ids": List(ids),
            "rationale_prompt_ids": ids,
            "rationale_ids": ids,
        }
    )
    rows = [_row(example, made) for example, made in zip(examples, tokens, strict=True)]
    columns = {name: [row[name] for row in rows] for name in features}
    Dataset.from_dict(columns, features=features).save_to_disk(str(folder), num_shards=1)


def open_rows(folder: Path) -> TokenRows:
    """Tokenized rows of a folder that `write` made."""
    from datasets import load_from_disk

    dataset = load_from_disk(str(folder))
    table = dataset.data.table.combine_chunks()
    responses, offsets = _split(table["response_ids"].combine_chunks())
    members = np.arange(len(responses))
    rewards = _lists(table["rewards"].combine_chunks())
    rated = len(rewards.values) == len(members) and len(members) > 0
    reasons = [_lists(table[name].combine_chunks()) for name in ("rationale_prompt_ids", "rationale_ids")]
    return TokenRows(
        dataset=dataset,
        prompts=_lists(table["prompt_ids"].combine_chunks()),
        responses=_lists(responses),
        members=Lists(members, offsets),
        labels=_lists(table["labels"].combine_chunks()),
        rewards=rewards if rated else None,
        weights=table["weight"].to_numpy(),
        rationales=(reasons[0], reasons[1]) if len(reasons[1].values) else None,
    )


def _row(example: Example, tokens: Tokens) -> dict[str, Any]:
    return {
        "id": example.id,
        "prompt": json.dumps(example.prompt, ensure_ascii=False),
        "responses": json.dumps(example.responses, ensure_ascii=False),
        "meta": json.dumps(example.meta, default=str),
        "weight": example.weight,
        "labels": example.labels,
        "rewards": example.rewards,
        "prompt_ids": tokens.prompt,
        "response_ids": tokens.responses,
        "rationale_prompt_ids": tokens.rationale[0],
        "rationale_ids": tokens.rationale[1],
    }


def _gather(lists: Lists, indices: Indices) -> Lists:
    parts = [lists[index] for index in indices]
    values = np.concatenate(parts) if parts else lists.values[:0]
    return Lists(values, _offsets([len(part) for part in parts]))


def _offsets(lengths: Sequence[int]) -> Array:
    return np.concatenate([[0], np.cumsum(np.array(lengths, dtype=np.int64))])


def _split(array: Any) -> tuple[Any, Array]:
    """An Arrow array of lists as the Arrow array of their elements, and offsets."""
    offsets = array.offsets.to_numpy() if len(array) else np.zeros(1, dtype=np.int32)
    return array.values[offsets[0] : offsets[-1]], offsets - offsets[0]


def _lists(array: Any) -> Lists:
    values, offsets = _split(array)
    return Lists(values.to_numpy(zero_copy_only=False), offsets)
