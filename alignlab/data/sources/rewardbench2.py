"""RewardBench 2 (arXiv:2506.01937), schema of allenai/reward-bench-2: right and wrong responses, each of a subset.

id                 str           of the subset Ties: ref:N (one right answer) or tied:N (several)
prompt             str
chosen, rejected   list of str   right and wrong responses
num_correct, num_incorrect, total_completions   int
models             list of str
subset             str           Factuality, Focus, Math, Precise IF, Safety, Ties
"""

from collections.abc import Mapping
from typing import Any

from alignlab.data.reading.rows import RowError, column
from alignlab.data.sources.columns import id_of
from alignlab.types import Example

COUNTS = {"num_correct": "chosen", "num_incorrect": "rejected"}


def convert(row: Mapping[str, Any]) -> Example:
    """Convert a list, the right responses first, with labels 1 and 0; no row is left out."""
    sides = {name: _texts(row, name) for name in ("chosen", "rejected")}
    for name, side in COUNTS.items():
        if row.get(name) is not None and (said := column(row, name, int)) != len(sides[side]):
            raise RowError(name, f"is {said}, and '{side}' has {len(sides[side])} responses")
    subset, name = column(row, "subset", str), id_of(row)
    if subset.lower() != "ties" and len(sides["chosen"]) > 1:
        raise RowError("chosen", f"has {len(sides['chosen'])} right responses: but for Ties there is one")
    texts = [text for side in sides.values() for text in side]
    labels = [1.0] * len(sides["chosen"]) + [0.0] * len(sides["rejected"])
    return Example(
        [{"role": "user", "content": column(row, "prompt", str)}],
        [*texts],
        labels,
        id=f"{subset}/{name}" if name else "",
        meta={"subset": subset, "source": subset, "bench_id": name},
    )


def _texts(row: Mapping[str, Any], name: str) -> list[str]:
    texts = column(row, name, list)
    if not texts or not all(isinstance(text, str) for text in texts):
        raise RowError(name, f"expected a list of texts, found {texts!r:.60}")
    return texts
