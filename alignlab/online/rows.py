"""Judged lists as rows to train on: their ids as they were drawn, and never tokenized again."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from alignlab.data.encoding.drawn import with_drawn
from alignlab.data.encoding.token_rows import Array, Lists, RowIds, TokenRows
from alignlab.judges.judge import Judged
from alignlab.online.listed import Listed
from alignlab.sampling.rollout import Rollout
from alignlab.signals import BASE
from alignlab.types import Example

OF_RESPONSES = ("wins", "ratings", "samples", "rationale", "rationale_prompt")
"""What `meta` of a row says of the responses that the data had, and not of those that were drawn."""


def rows_of(lists: Sequence[Listed], source: TokenRows, wanted: Collection[str] = ()) -> TokenRows:
    """Return the responses of lists that stay, as rows, with those `wanted` signals that their sampler tells.

    `source` are the rows that gave the prompts.
    """
    kept = [[one.rollout.responses[k] for k in one.kept] for one in lists]
    flat = [ids for responses in kept for ids in responses]
    sizes = [len(responses) for responses in kept]
    offsets = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
    rated = all(one.rewards is not None for one in lists)
    rows = TokenRows(
        examples=[_example(one, source) for one in lists],
        places=np.arange(len(lists)),
        ids=RowIds(_ragged([np.frombuffer(one.rollout.id.encode(), np.uint8) for one in lists])),
        prompts=_ragged([one.rollout.prompt_ids for one in lists]),
        responses=_ragged(flat),
        members=Lists(np.arange(len(flat)), offsets),
        labels=Lists(np.array([label for one in lists for label in one.labels]), offsets),
        rewards=Lists(np.array([r for one in lists for r in one.rewards or ()]), offsets) if rated else None,
        weights=np.ones(len(lists)),
        highest=np.array([max(map(max, [one.rollout.prompt_ids, *kept[i]])) for i, one in enumerate(lists)]),
    )
    return with_drawn(rows, wanted)


def with_samples(rows: TokenRows, samples: Sequence[Sequence[Array]]) -> TokenRows:
    """Return rows with as many samples beside each, `[lists][M]`, as rows that have no slot in their list."""
    columns = zip(*samples, strict=True)
    return replace(rows, samples=tuple(map(_ragged, columns)))


def with_blank_samples(rows: TokenRows, samples: int, tokens: int) -> TokenRows:
    """Return rows with samples beside each that are as long as they may be."""
    longest = Lists(np.zeros(tokens, np.int64), np.array([0, tokens]), np.zeros(len(rows), np.int64))
    return replace(rows, samples=(longest,) * samples)


def _example(one: Listed, source: TokenRows) -> Example:
    """The list as text, for those who look at rows by their examples."""
    row = source.examples[int(source.places[one.row])]
    meta: dict[str, Any] = {name: value for name, value in row.meta.items() if name not in OF_RESPONSES}
    if (table := one.judged.preferences) is not None:
        meta["wins"] = [[_probability(table[i][j]) for j in one.kept] for i in one.kept]
    logps = one.rollout.token_logps
    told: dict[str, Sequence[Any]] = {
        "finished": [float(ended) for ended in one.rollout.finished],
        "from_reference": [0.0] * len(logps),
        "token_behavior_logps": [values.tolist() for values in logps],
        "token_old_logps": [values.tolist() for values in logps],
        **{name: [_told(name, value) for value in values] for name, values in one.told.items()},
    }
    meta |= {name: [values[k] for k in one.kept] for name, values in told.items()}
    texts = [one.texts[k] for k in one.kept]
    rewards = None if one.rewards is None else [*one.rewards]
    return Example(row.prompt, [*texts], [*one.labels], rewards, row.weight, one.rollout.id, meta)


def _told(name: str, values: Array) -> Any:
    """What is told of one response: a value, or one for each of its tokens."""
    return values.tolist() if BASE[name].shape == "B K L" else values.item()


def _probability(value: float | None) -> float:
    return 0.5 if value is None else value


def _ragged(lists: Sequence[Array]) -> Lists:
    sizes = np.cumsum([0, *map(len, lists)], dtype=np.int64)
    return Lists(np.concatenate(lists) if lists else np.zeros(0, np.int64), sizes)


def blank(source: TokenRows, row: int, samples: int, tokens: int) -> Listed:
    """Return a list of responses that are as long as they may be, for one row's prompt."""
    nothing = np.zeros(tokens, dtype=np.int64)
    rollout = Rollout(
        source.ids[row],
        source.prompts[row],
        (nothing,) * samples,
        (nothing.astype(np.float32),) * samples,
        (False,) * samples,
        0,
        "",
    )
    told = {"token_behavior_values": rollout.token_logps}
    places = tuple(range(samples))
    labels = tuple(map(float, places))
    return Listed(rollout, row, ("",) * samples, Judged(rewards=labels), "", places, labels, labels, told)
