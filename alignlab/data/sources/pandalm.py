"""PandaLM's test set, schema of WeOpenML/PandaLM testset-v1: two responses, and what three people said of them.

instruction, input     str   the prompt, one after the other
response1, response2   str
annotator1, 2, 3       int   1 or 2: that response is better; 0: neither
idx                    int
"""

from collections.abc import Mapping
from typing import Any

from alignlab.data.reading.rows import Drop, RowError, column, user
from alignlab.types import Example

VOTES = {1: 1.0, 2: 0.0, 0: 0.5}
"""What a person's answer counts for the first response."""


def convert(row: Mapping[str, Any]) -> Example:
    """Convert a pair, whose labels are the shares of the three that are for each response; all are in `meta`."""
    answers = [column(row, f"annotator{number}", int) for number in (1, 2, 3)]
    for number, answer in enumerate(answers, start=1):
        if answer not in VOTES:
            raise RowError(f"annotator{number}", f"expected 1, 2 or 0, found {answer}")
    responses = [column(row, name, str) for name in ("response1", "response2")]
    if not all(text.strip() for text in responses):
        raise Drop("an empty response")
    share = sum(VOTES[answer] for answer in answers) / 3
    asked = [column(row, name, str) for name in ("instruction", "input")]
    return Example(
        user("\n".join(text for text in asked if text)),
        [*responses],
        [share, 1 - share],
        id=str(column(row, "idx", int)),
        meta={"source": "pandalm", "votes": [VOTES[answer] for answer in answers]},
    )
