"""Sentences that people rated, as single responses: the first words are the prompt, the rest the response.

text    str
rating  float   the mean of the raters, -4 to 4
id      str, optional
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any

from alignlab.data.reading.rows import Drop, RowError, column, number, user
from alignlab.data.sources.columns import id_of
from alignlab.settings import Scale, whole
from alignlab.types import Example


def convert(
    row: Mapping[str, Any], *, prompt_words: Annotated[int, whole(1, 1000)] = 4, scale: Scale = (-4.0, 4.0)
) -> Example:
    """Convert a sentence into a list of one response, with the rating mapped from `scale` to [0, 1] as its label.

    Prompt and response together are the sentence, to the letter. Sentences share no prompt, so that no two of
    them make a list.
    """
    text, rating = column(row, "text", str).strip(), number(row, "rating")
    low, high = scale
    if not low <= rating <= high:
        raise RowError("rating", f"{rating} leaves the scale {low}..{high}; set data.source.scale=[low,high]")
    words = list(re.finditer(r"\S+", text))
    if len(words) <= prompt_words:
        raise Drop(f"no more than {prompt_words} words")
    cut = words[prompt_words - 1].end()
    return Example(
        prompt=user(text[:cut]),
        responses=[text[cut:]],
        labels=[(rating - low) / (high - low)],
        rewards=[rating],
        id=id_of(row),
    )
