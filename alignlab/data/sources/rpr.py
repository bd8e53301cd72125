"""Reasonable Preference Reversal (arXiv:2407.14916), schema of microsoft/rpr: two responses and two contexts.

prompt                                 str
response_a, response_b                 str
criteria_x, criteria_y                 str   under the first response_a is better, under the second response_b
scenario_x, scenario_y                 str   situations that imply these criteria
category_x, category_y                 str
id                                     int
"""

from collections.abc import Iterator, Mapping
from typing import Any

from alignlab.data.reading.rows import column
from alignlab.data.sources.columns import id_of, text_of
from alignlab.data.transforms.context_pairs import TEMPLATE
from alignlab.data.transforms.instructions import FORMS, with_instruction
from alignlab.errors import one_of
from alignlab.types import Example

CONTEXTS = ("criteria", "scenario")


def convert(
    row: Mapping[str, Any], *, context: str = "criteria", template: str = TEMPLATE, form: str = "system"
) -> Iterator[Example]:
    """Convert a row into two, one a context: the first prefers response_a, the second response_b."""
    one_of("data.source.context", context, CONTEXTS)
    one_of("data.source.form", form, FORMS)
    prompt = [{"role": "user", "content": column(row, "prompt", str)}]
    a, b = (column(row, f"response_{side}", str) for side in "ab")
    name = id_of(row)
    for side, texts in (("x", [a, b]), ("y", [b, a])):
        contexts = {name: column(row, f"{name}_{side}", str) for name in CONTEXTS}
        text = template.format(criterion=contexts[context].rstrip("."))
        meta = {"context": text_of(row, f"category_{side}") or side, "pair": name or f"{a}\n{b}"}
        yield Example(
            with_instruction(prompt, form, text),
            [*texts],
            [1.0, 0.0],
            id=f"{name}/{side}" if name else "",
            meta=meta,
        )
