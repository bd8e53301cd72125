"""RewardBench (arXiv:2403.13787), schema of allenai/reward-bench: pairs of an evaluation, each of a subset.

prompt             str   (or a list of {role, content}, as the prior test sets have it)
chosen, rejected   str
subset             str   alpacaeval-easy, hep-python, ...
id                 int

RAG-RewardBench (arXiv:2412.13746), schema of jinzhuoran/RAG-RewardBench:
prompt             str   what is asked, with the retrieved texts
chosen, reject     str   (or rejected)
subset             str
"""

from collections.abc import Mapping
from typing import Any

from alignlab.data.reading.rows import RowError, column
from alignlab.data.reading.turns import text_of_column
from alignlab.data.sources.columns import id_of
from alignlab.types import Example, Message


def convert(row: Mapping[str, Any]) -> Example:
    """Convert a pair of RewardBench; no row is left out, equal responses are a tie."""
    return _pair(row, "rejected", id_of(row))


def convert_rag(row: Mapping[str, Any]) -> Example:
    """Convert a pair of RAG-RewardBench; no row is left out."""
    return _pair(row, "reject" if "reject" in row else "rejected", id_of(row))


def _pair(row: Mapping[str, Any], rejected: str, name: str) -> Example:
    asked = text_of_column(row, "prompt")
    prompt: list[Message] = [{"role": "user", "content": asked}] if isinstance(asked, str) else asked
    if not (subset := column(row, "subset", str)):
        raise RowError("subset", "is empty")
    return Example(
        prompt,
        [column(row, "chosen", str), column(row, rejected, str)],
        [1.0, 0.0],
        id=f"{subset}/{name}" if name else "",
        meta={"subset": subset, "source": subset},
    )
