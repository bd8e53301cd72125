"""Puts what a sampler told of its responses beside their tokens, from the meta of the examples."""

import math
from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from alignlab.data.encoding.id_turns import ids_in
from alignlab.data.encoding.token_rows import Array, Lists, TokenRows
from alignlab.errors import DataError
from alignlab.signals import BASE, DRAWN
from alignlab.types import Example

SUMS = {"behavior_logps": "token_behavior_logps"}
"""Signals of responses that are sums over the tokens of another one."""


def lacking(example: Example, names: Collection[str]) -> list[str]:
    """The names of those signals of a sampler that an example does not carry."""
    return sorted(name for name in DRAWN & {*names} if not {name, SUMS.get(name, name)} & {*example.meta})


def with_drawn(rows: TokenRows, names: Collection[str]) -> TokenRows:
    """These rows with those of `names` that a sampler tells (`signals.DRAWN`), as the meta of their examples has them.

    Values of tokens that the limits cut off are left out too. Raises DataError, naming the row, where an example lacks
    one, has not one value for each response or token, or a value that is no finite number.
    """
    wanted = sorted(DRAWN & {*names})
    pieces: dict[str, list[Array]] = {name: [] for name in wanted}
    for index in range(len(rows) if wanted else 0):
        example = rows.examples[int(rows.places[index])]
        if absent := lacking(example, wanted):
            raise DataError(f"row {rows.ids[index]}: {not_carried(absent)}")
        lengths = [len(rows.responses[member]) for member in rows.members[index]]
        for name in wanted:
            pieces[name] += _values(example, name, lengths, rows.ids[index])
    return replace(rows, drawn={name: _lists(values) for name, values in pieces.items()}) if wanted else rows


def not_carried(names: Collection[str]) -> str:
    """The message for rows that do not carry these signals."""
    texts = "; ".join(f"{name}: {BASE[name].text}" for name in names)
    return (
        f"it carries no {', '.join(names)} ({texts}), which samplers tell of the responses that they draw: train "
        "online (recipe=online), or on rows of drawn responses that have them (data=token_ids)"
    )


def _values(example: Example, name: str, lengths: list[int], row: str) -> Iterator[Array]:
    """The values of each response of a list: one, or one for each token that is left of it."""
    source = name if name in example.meta else SUMS[name]
    carried = example.meta[source]
    if not isinstance(carried, list) or len(carried) != len(lengths):
        raise DataError(f"row {row}: {source} has to be a list of {len(lengths)}, one for each response")
    by_token = BASE[source].shape == "B K L"
    for number, (value, length) in enumerate(zip(carried, lengths, strict=True)):
        ids = ids_in(example.responses[number])
        uncut = length if ids is None else len(ids)
        values = value if by_token else [value]
        if not isinstance(values, list) or len(values) != (uncut if by_token else 1):
            raise DataError(
                f"row {row}: {source}[{number}] has to be a list of {uncut} values, one for each token of the response"
            )
        if not all(map(_is_number, values)):
            raise DataError(f"row {row}: {source}[{number}] has to hold finite numbers, found {value!r:.60}")
        kept = np.array(values[:length] if by_token else values, dtype=np.float64)
        yield kept if source == name else kept.sum(keepdims=True)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _lists(values: list[Array]) -> Lists:
    offsets = np.concatenate([[0], np.cumsum([len(each) for each in values], dtype=np.int64)])
    return Lists(np.concatenate([*values, np.zeros(0)]), offsets)
