"""UltraFeedback as pairs, schema of HuggingFaceH4/ultrafeedback_binarized.

prompt_id                        str
chosen, rejected                 list of {role, content}: the dialogue, the reply last
score_chosen, score_rejected     float, 1 to 10
"""

from collections.abc import Mapping
from typing import Any

from alignlab.data.reading.rows import Drop, RowError, number
from alignlab.data.reading.turns import dialogue_of_column
from alignlab.data.sources.columns import text_of
from alignlab.types import Example


def convert(row: Mapping[str, Any]) -> Example:
    """Convert a pair; chosen is the better one even where its score is not higher.

    The published set holds a few empty replies; their rows are dropped.
    """
    chosen = dialogue_of_column(row, "chosen")
    rejected = dialogue_of_column(row, "rejected")
    if chosen[:-1] != rejected[:-1]:
        raise RowError("rejected", "does not share its prompt with 'chosen'")
    if chosen[-1] == rejected[-1]:
        raise Drop("chosen and rejected are identical")
    if not all(side[-1]["content"].strip() for side in (chosen, rejected)):
        raise Drop("an empty reply")
    return Example(
        prompt=chosen[:-1],
        responses=[chosen[-1:], rejected[-1:]],
        labels=[1.0, 0.0],
        rewards=[number(row, "score_chosen"), number(row, "score_rejected")],
        id=text_of(row, "prompt_id"),
        meta={"source": text_of(row, "source")},
    )
