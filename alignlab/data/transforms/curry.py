"""Orders the pairs of rated lists in a curriculum from easy to hard: Curry-DPO, arXiv:2403.07230."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

import numpy as np

from alignlab.data.reading.rows import Drop
from alignlab.data.steps import Array, Pairs, Selection, Tokenized
from alignlab.data.tables.lists import take
from alignlab.data.transforms.margins import reference_margins
from alignlab.errors import ConfigError, DataError, one_of
from alignlab.settings import Positive, whole
from alignlab.types import Example

KEY = "pipeline.curry"


def curry_pairs(example: Example) -> Pairs:
    """Pair the best response with each that is rated lower, the lowest first: (R1,R4), (R1,R3), (R1,R2).

    The first of equal ratings counts as the better. meta["curry"] keeps the list's id, the gap of labels, and
    the pair's rank in its list, 1 for the largest gap.
    """
    labels = example.labels
    best, *others = sorted(range(len(labels)), key=lambda i: -labels[i])
    worse = [i for i in reversed(others) if labels[i] < labels[best]]
    if not worse:
        raise Drop("all responses have the same label")
    for rank, other in enumerate(worse, 1):
        about = {"list": example.id, "gap": labels[best] - labels[other], "rank": rank}
        pair = take(example, [best, other])
        yield replace(pair, id=f"{example.id}/{best}>{other}", meta={**pair.meta, "curry": about})


def curry(
    tokenized: Tokenized,
    *,
    by: str = "rating",
    scope: str = "prompt",
    stage: Positive | None = None,
    of: Annotated[int, whole(1, 1000)] = 3,
    reverse: bool = False,
    split: str = "train",
) -> Selection:
    """Select the pairs of one `stage` (from 1), or for null all pairs in order, from easy to hard.

    A pair is easy if its gap is large: the gap of ratings, or |log p(chosen) - log p(rejected)| in nats under
    the model that the run begins with (`by` rating | reference). `reverse` begins with the smallest gap.
    Validation keeps all pairs at every stage. The function `stages` assigns pairs to stages.

    Raises ConfigError for a stage beyond `of`, DataError for rows that `curry_pairs` has not
    made, and for a stage without pairs.
    """
    one_of(f"{KEY}.by", by, ("rating", "reference"))
    one_of(f"{KEY}.scope", scope, ("prompt", "global"))
    if stage is not None and stage not in range(1, of + 1):
        raise ConfigError(f"{KEY}.stage={stage}: stages are 1 to {of} ({KEY}.of), or null for all in order")
    if split != "train" or not len(tokenized):
        return Selection(range(len(tokenized)))
    about = [_about(example) for example in tokenized.examples]
    gaps = (
        np.array([pair["gap"] for pair in about]) if by == "rating" else np.abs(reference_margins(tokenized))
    )
    ties = [(pair["rank"], example.id) for pair, example in zip(about, tokenized.examples, strict=True)]
    rows = stages(-gaps if reverse else gaps, [pair["list"] for pair in about], ties, scope=scope, of=of)
    if stage is None:
        return Selection([row for part in rows for row in part], ordered=True)
    if not rows[stage - 1]:
        raise DataError(
            f"{KEY}.stage={stage} has no pairs: "
            f"{'no list has so many' if scope == 'prompt' else 'there are fewer pairs than stages'}; "
            f"use {KEY}.of={stage - 1}"
        )
    others = {row: f"in stage {k} of {of}" for k, part in enumerate(rows, 1) if k != stage for row in part}
    return Selection(sorted(rows[stage - 1]), others)


def stages(
    gaps: Sequence[float] | Array,
    lists: Sequence[str],
    ties: Sequence[Any],
    *,
    scope: str = "prompt",
    of: int = 3,
) -> list[list[int]]:
    """The numbers of the pairs of each of the `of` stages, the largest gap first, equal gaps in the order of `ties`.

    Every pair is in one stage. With `scope` prompt, stage k has the pair with the k-th largest gap of each list,
    and the last stage all that are left; with global, all pairs by their gaps are cut into `of` parts of one size.
    """
    order = sorted(range(len(ties)), key=lambda row: (-gaps[row], ties[row]))
    if scope == "global":
        return [part.tolist() for part in np.array_split(np.array(order, dtype=int), of)]
    result: list[list[int]] = [[] for _ in range(of)]
    rank: Counter[str] = Counter()
    for row in order:
        result[min(rank[lists[row]], of - 1)].append(row)
        rank[lists[row]] += 1
    return result


def _about(example: Example) -> dict:
    if "curry" not in example.meta:
        raise DataError(
            f"row {example.id} is no pair of curry_pairs: choose pipeline=[curry], which makes them first"
        )
    return example.meta["curry"]
