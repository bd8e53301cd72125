"""Errors for rows of one's own files that are of no schema read there: what they are nearest to, and the way out."""

import re
from collections.abc import Mapping
from typing import Any

from alignlab.data.reading.column_names import mapping, offered
from alignlab.data.reading.rows import RowError, listed
from alignlab.data.sources.asked import NAMES

SCHEMAS = (
    "prompt + responses + labels (or rewards), [prompt +] chosen + rejected, or prompt + completion + label"
)
DIALOGUES = ("messages", "conversations")
EITHER = re.compile(r"(response|answer|output|completion|reply)_?(a|b|0|1|2)", re.IGNORECASE)
"""The columns of two responses, the better of which another column tells."""
HH_RLHF = "\n\nHuman:"
"""The beginning of a dialogue as HH-RLHF writes it, in one text."""


def unknown(row: Mapping[str, Any]) -> RowError:
    """The error for a row of an unknown schema."""
    problem = f"missing; expected {SCHEMAS}, found {listed(row)}"
    if "completions" in row and "instruction" in row:
        return RowError("responses", problem, "Rows of UltraFeedback are read by data=ultrafeedback")
    if "completions" in row:
        return RowError("completions", f"steps of one answer, which is no preference; expected {SCHEMAS}")
    if inside := [name for name in row if _is_rows(row[name])]:
        return RowError(
            "(the whole row)",
            f"holds rows under {', '.join(map(repr, inside))}",
            "Write those rows as a file of their own: a list in a .json file, or one row a line in a .jsonl file",
        )
    if error := _of_other_names(row, problem, ("chosen", "rejected")):
        return error
    if any(name in row for name in DIALOGUES) and ("label" in row or offered("label", row)):
        named = _mapped(row, "messages", "label")
        return RowError(
            "completion",
            problem,
            f"Dialogues with a label for their last turn are read by data=kto {named}".strip(),
        )
    for names in (("completion", "label"), ("responses", "labels")):
        if error := _of_other_names(row, problem, names):
            return error
    if sum(bool(EITHER.fullmatch(name)) for name in row) > 1:
        return RowError(
            "responses",
            f"{problem}, where a column must tell which of two responses is better",
            "Write them as chosen and rejected, or write a source of your own (docs/extending.md), or say by "
            f"data.columns which is which: {mapping(['chosen', 'rejected'], [])}",
        )
    return RowError(
        "responses", problem, f"Say which columns of yours these are: {mapping(['chosen', 'rejected'], [])}"
    )


def _is_rows(value: Any) -> bool:
    """Whether a value is a list of rows of a schema read here, and no dialogue."""
    first = value[0] if isinstance(value, list) and value else None
    return isinstance(first, Mapping) and not {"chosen", "responses", "completion"}.isdisjoint(first)


def _of_other_names(row: Mapping[str, Any], problem: str, names: tuple[str, ...]) -> RowError | None:
    """The error with the mapping to type, where columns of the row may stand for all of the names."""
    if not all(name in row or offered(name, row) for name in names):
        return None
    return RowError(names[0], problem, f"Say which column of yours it is: {_mapped(row, *names)}")


def refuse_hh_rlhf(text: Any, name: str) -> None:
    """Raise RowError for a dialogue of HH-RLHF, which would be read as one text with its marks."""
    if isinstance(text, str) and text.startswith(HH_RLHF):
        raise RowError(
            name,
            "is a dialogue with 'Human:' and 'Assistant:' marks",
            "Rows of HH-RLHF are read by data=hh_rlhf",
        )


def _mapped(row: Mapping[str, Any], *names: str) -> str:
    """The mapping to type for those of the names that the row has not, the prompt with them; empty for none."""
    asked = [] if "prompt" in row or any(name in row for name in NAMES) else ["prompt"]
    wanted = [*asked, *(name for name in names if name not in row)]
    return mapping(wanted, row) if wanted else ""
