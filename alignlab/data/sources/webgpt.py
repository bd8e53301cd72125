"""WebGPT comparisons (arXiv:2112.09332), schema of openai/webgpt_comparisons: pairs of answers with references.

question             {full_text: str, dataset: str, id: str}
answer_0, answer_1   str    with marks such as [1] for the quotes they rest on
score_0, score_1     float  how much one is preferred to the other, -1 to 1; they sum to 0
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from alignlab.data.reading.rows import column, number, user
from alignlab.data.sources.columns import pair, text_of
from alignlab.types import Example


def convert(row: Mapping[str, Any]) -> Example:
    """Convert a pair; labels follow the sign of the scores, as in the paper (appendix K), and equal scores tie."""
    question = column(row, "question", Mapping)
    scores = [number(row, "score_0"), number(row, "score_1")]
    better, worse = (0, 1) if scores[0] >= scores[1] else (1, 0)
    example = pair(
        user(column(question, "full_text", str)),
        *(column(row, f"answer_{side}", str) for side in (better, worse)),
        rewards=[scores[better], scores[worse]],
        meta={"source": text_of(question, "dataset"), "question": text_of(question, "id")},
    )
    return replace(example, labels=[0.5, 0.5]) if scores[0] == scores[1] else example
