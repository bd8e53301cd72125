"""What a reward model makes of the validation rows: the scores of all responses, and its worst mistakes as text."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from alignlab.data.transforms.texts import text
from alignlab.metrics.split_metrics import Rows
from alignlab.objective.pair_selection import all_pairs
from alignlab.runs.folder import MISTAKES, VALIDATION_SCORES, RunFolder
from alignlab.types import Example

MOST = 12
"""The largest number of mistakes that are kept as text, one a list."""


def write_scores(
    folder: RunFolder, ids: Sequence[str], rows: Rows, example: Callable[[str], Example]
) -> None:
    """Write the scores, lengths (in tokens) and labels of every list, and the widest mistakes with their texts.

    `ids` are those of the lists of `rows`; `example` gives the text of a list by its id.
    """
    folder.write_lines(VALIDATION_SCORES, sorted(_lists(ids, rows), key=lambda row: str(row["id"])))
    folder.write_lines(MISTAKES, _mistakes(ids, rows, example))


def _lists(ids: Sequence[str], rows: Rows) -> Iterator[dict[str, Any]]:
    for index, name in enumerate(ids):
        where = rows.where[index]
        columns = {"scores": rows.rewards, "lengths": rows.lengths, "labels": rows.labels}
        leads = {} if rows.leads is None else {"leads": rows.leads[index][where][:, where].tolist()}
        yield {"id": name, **{key: values[index][where].tolist() for key, values in columns.items()}, **leads}


def _mistakes(ids: Sequence[str], rows: Rows, example: Callable[[str], Example]) -> Iterator[dict[str, Any]]:
    """Yield the pairs whose better response is behind by most, the widest first and one a list."""
    pairs = all_pairs(rows.labels, rows.where)
    margins = rows.leads if rows.leads is not None else rows.rewards[:, :, None] - rows.rewards[:, None, :]
    behind = -margins[pairs.list, pairs.chosen, pairs.rejected]
    told: set[int] = set()
    for pair in behind.argsort(descending=True, stable=True).tolist():
        index = int(pairs.list[pair])
        if behind[pair] <= 0 or len(told) == MOST:
            return
        if index in told:
            continue
        told.add(index)
        one = example(ids[index])
        better, preferred = (int(side[pair]) for side in (pairs.chosen, pairs.rejected))
        yield {
            "id": ids[index],
            "prompt": one.prompt,
            "better": text(one.responses[better]),
            "preferred": text(one.responses[preferred]),
            "gap": behind[pair].item(),
            "labels": [rows.labels[index, place].item() for place in (better, preferred)],
        }
