"""Nectar, schema of berkeley-nest/Nectar: about seven answers to a dialogue, ranked by GPT-4.

prompt        str   "\\n\\nHuman: ...\\n\\nAssistant: "
answers       list of {answer: str, model: str, rank: int, 1 the best}
source        list of str, optional
good_natured  bool, optional
"""

from collections.abc import Mapping
from typing import Any

from alignlab.data.reading.rows import Drop, RowError, column, finite
from alignlab.data.sources.columns import by_rank, text_of
from alignlab.data.sources.hh_rlhf import REPLY, dialogue
from alignlab.types import Example


def convert(row: Mapping[str, Any]) -> Example:
    """Convert a ranked list: labels fall linearly with the rank, and there are no rewards."""
    before, mark, after = column(row, "prompt", str).rpartition(REPLY)
    if not mark or after.strip():
        raise RowError("prompt", f"expected a dialogue that ends with '{REPLY.strip()}'")
    answers = column(row, "answers", list)
    if len(answers) < 2:
        raise RowError("answers", f"expected at least 2 ranked answers, found {len(answers)}")
    for i, answer in enumerate(answers):
        if not isinstance(answer, Mapping):
            raise RowError(f"answers[{i}]", f"expected {{answer, model, rank}}, found {answer!r:.60}")
    texts = [column(answer, "answer", str) for answer in answers]
    if not all(text.strip() for text in texts):
        raise Drop("an empty reply")
    source = row.get("source")
    return Example(
        prompt=dialogue(before, "prompt"),
        responses=[*texts],
        labels=by_rank([finite(a.get("rank"), f"answers[{i}].rank") for i, a in enumerate(answers)]),
        meta={
            "source": "+".join(map(str, source)) if isinstance(source, list) else "",
            "models": [text_of(answer, "model") for answer in answers],
            "good_natured": row.get("good_natured") is True,
        },
    )
