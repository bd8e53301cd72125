"""Divides the rows into parts that are trained on one after another, from easy to hard: sDPO, arXiv:2403.19270."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated

import numpy as np

from alignlab.data.steps import Array, Selection, Tokenized
from alignlab.data.transforms.margins import reference_margins
from alignlab.data.transforms.order_by import draw
from alignlab.errors import ConfigError, DataError, one_of
from alignlab.settings import Positive, PositiveNumber, Seed, whole

KEY = "pipeline.stepwise"
BY = ("source", "equal", "reward_accuracy")
ORDERS = ("given", "easy_to_hard", "hard_to_easy", "random")


def stepwise(
    tokenized: Tokenized,
    *,
    part: Positive | None = None,
    of: Annotated[int, whole(1, 1000)] | None = None,
    by: str = "source",
    order: str | None = None,
    shares: Sequence[PositiveNumber] | None = None,
    seed: Seed = 0,
    split: str = "train",
) -> Selection:
    """Select the rows of one `part` (from 1), or for null all rows, part after part.

    Every row is in exactly one part; within a part the order is random. Validation keeps all rows
    for every part. The function `step_parts` makes the parts; `shares` are their sizes against each other, with `by`
    equal, where they are not of one size.

    Raises ConfigError for a part beyond `of`, DataError for a part that the rows do not make.
    """
    one_of(f"{KEY}.by", by, BY)
    order = order or ("given" if by == "equal" else "easy_to_hard")
    one_of(f"{KEY}.order", order, ORDERS)
    if part is not None and of is not None and part > of:
        raise ConfigError(f"{KEY}.part={part}: there are {of} parts ({KEY}.of)")
    if shares is not None and (by != "equal" or len(shares) != of):
        raise ConfigError(f"{KEY}.shares={[*shares]}: they are of by=equal, one a part ({KEY}.of={of})")
    if split != "train" or not len(tokenized):
        return Selection(range(len(tokenized)))
    parts = list(step_parts(tokenized, of=of, by=by, order=order, shares=shares, seed=seed).values())
    if part is None:
        ids = [example.id for example in tokenized.examples]
        return Selection([row for rows in parts for row in shuffled(rows, ids, seed)], ordered=True)
    if part > len(parts):
        raise DataError(f"{KEY}.part={part}: the rows make {len(parts)} parts, one a source")
    others = {
        row: f"in part {k} of {len(parts)}" for k, rows in enumerate(parts, 1) if k != part for row in rows
    }
    return Selection(sorted(parts[part - 1]), others)


def step_parts(
    tokenized: Tokenized,
    *,
    of: int | None,
    by: str,
    order: str,
    shares: Sequence[float] | None = None,
    seed: int = 0,
) -> dict[str, list[int]]:
    """The numbers of the rows of each part, by its name, in the order of training.

    With `by` source, a part is a source (meta["source"]); with equal, rows in random order are cut into `of`
    parts of one size; with reward_accuracy, rows from the largest margin under the initial model to the smallest
    are. For null, `of` is the number of sources. `order` then sorts the parts by their reward accuracy (the
    highest first: easy_to_hard), draws their order, or leaves it as given: sources as they first appear.
    """
    ids, sources = [], []
    for example in tokenized.examples:
        ids.append(example.id)
        sources.append(str(example.meta.get("source", "")))
    names = list(dict.fromkeys(sources))
    if by == "source" and of not in (None, len(names)):
        raise DataError(
            f"{KEY}.of={of}: by=source makes one part a source, and there are {len(names)} "
            f"({', '.join(filter(None, names)) or 'rows do not name theirs'}): leave {KEY}.of out, "
            f"or use {KEY}.by=equal or reward_accuracy"
        )
    count = of or len(names)
    if count > len(sources):
        raise DataError(f"{KEY}.of={of}: {len(sources)} rows cannot make {count} parts")
    every = range(len(ids))
    if count == 1:
        return {names[0] if by == "source" else "1": [*every]}
    if by == "source":
        parts: dict[str, list[int]] = {name: [] for name in names}
        for row in every:
            parts[sources[row]].append(row)
    elif by == "equal":
        parts = _cut(shuffled(every, ids, seed), count, shares)
    else:
        margins = reference_margins(tokenized)
        parts = _cut(sorted(every, key=lambda row: (-margins[row], ids[row])), count)
    if order == "given":
        return parts
    if order == "random":
        return {name: parts[name] for name in sorted(parts, key=lambda name: draw(seed, name))}
    part_of = {row: name for name, rows in parts.items() for row in rows}
    accuracy = reward_accuracy(reference_margins(tokenized), [part_of[row] for row in every])
    return {name: parts[name] for name in step_order({name: accuracy[name] for name in parts}, order)}


def reward_accuracy(margins: Array, sources: Sequence[str]) -> dict[str, float]:
    """The share of each source's rows whose margin is above 0, by its name; sources as they first appear.

    Margins are log p(best) - log p(worst) under the initial model. The paper's implicit rewards would be
    ratios to that same model and so all zero; this is their reference-free form.
    """
    labels = np.array(sources)
    return {name: float(np.mean(np.asarray(margins)[labels == name] > 0)) for name in dict.fromkeys(sources)}


def step_order(accuracy: Mapping[str, float], order: str = "easy_to_hard") -> list[str]:
    """The names of parts by falling reward accuracy, or rising for hard_to_easy; ties keep their order."""
    easy = sorted(accuracy, key=lambda name: -accuracy[name])
    return easy if order == "easy_to_hard" else easy[::-1]


def shuffled(rows: Iterable[int], ids: Sequence[str], seed: int) -> list[int]:
    """The numbers of the rows in an order that the seed and their ids decide."""
    return sorted(rows, key=lambda row: (draw(seed, ids[row]), ids[row]))


def _cut(rows: list[int], count: int, shares: Sequence[float] | None = None) -> dict[str, list[int]]:
    ends = np.cumsum(shares)[:-1] / np.sum(shares) * len(rows) if shares else ()
    parts = np.split(rows, np.round(ends).astype(int)) if shares else np.array_split(rows, count)
    return {str(k): part.tolist() for k, part in enumerate(parts, 1)}
