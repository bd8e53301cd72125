"""HelpSteer2 (arXiv:2406.08673), schema of nvidia/HelpSteer2: two responses to a prompt, five ratings each.

The rows of a prompt follow each other and come as one (`group_by: prompt`):
prompt  str   further turns begin with "<extra_id_1>Assistant" and "<extra_id_1>User"
rows    list of {prompt, response: str; helpfulness, correctness, coherence, complexity, verbosity: 0 to 4}

The preferences of the same set (arXiv:2410.01257), a pair a row:
prompt, response_1, response_2   str
preference_strength              int   -3 (the first is much better) to 3 (the second is)
split                            str   train | val
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from alignlab.data.reading.rows import Drop, RowError, column, finite, number
from alignlab.data.sources.columns import pair, text_of
from alignlab.errors import one_of
from alignlab.types import Example, Message

ASPECTS = ("helpfulness", "correctness", "coherence", "complexity", "verbosity")
SCALE = 4.0
MARK = re.compile(r"\n?<extra_id_1>(User|Assistant)\n")


def convert(row: Mapping[str, Any], *, score: str = "helpfulness") -> Example:
    """Convert a rated list: rewards are the ratings of the aspect `score`, labels these divided by 4."""
    one_of("data.source.score", score, ASPECTS)
    rows = column(row, "rows", list) if "rows" in row else [row]
    ratings = [{aspect: _rating(each, i, aspect) for aspect in ASPECTS} for i, each in enumerate(rows)]
    responses = [column(each, "response", str) for each in rows]
    prompt = dialogue(column(row, "prompt", str))
    if len(rows) < 2:
        raise Drop("one response alone to its prompt")
    if not all(response.strip() for response in responses):
        raise Drop("an empty reply")
    rewards = [rating[score] for rating in ratings]
    return Example(prompt, [*responses], [r / SCALE for r in rewards], rewards, meta={"ratings": ratings})


def convert_preference(row: Mapping[str, Any], *, part: str | None = None) -> Example:
    """Convert a pair: the rewards are the strength of the preference, 0 to 3, and 0; equal ones have labels 1/2.

    Rows whose column `split` is not `part` are dropped, unless `part` is None.
    """
    if part is not None and text_of(row, "split") != part:
        raise Drop(f"not of the part '{part}'")
    strength = number(row, "preference_strength")
    if not -3 <= strength <= 3:
        raise RowError("preference_strength", f"expected -3 to 3, found {strength}")
    better, worse = (2, 1) if strength > 0 else (1, 2)
    example = pair(
        dialogue(column(row, "prompt", str)),
        *(column(row, f"response_{side}", str) for side in (better, worse)),
        rewards=[abs(strength), 0.0],
    )
    return example if strength else replace(example, labels=[0.5, 0.5])


def dialogue(text: str) -> list[Message]:
    """The turns of a prompt, the first of which is the user's."""
    first, *parts = MARK.split(text)
    roles = ["user", *(mark.lower() for mark in parts[::2])]
    return [{"role": r, "content": t} for r, t in zip(roles, [first, *parts[1::2]], strict=True)]


def _rating(row: Any, index: int, aspect: str) -> float:
    if not isinstance(row, Mapping) or aspect not in row:
        raise RowError(f"rows[{index}]", f"has no '{aspect}'")
    rating = finite(row[aspect], f"rows[{index}].{aspect}")
    if not 0 <= rating <= SCALE:
        raise RowError(f"rows[{index}].{aspect}", f"expected 0 to {SCALE:g}, found {rating:g}")
    return rating
