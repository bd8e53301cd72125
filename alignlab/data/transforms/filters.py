"""Filters that judge each row alone, so that filtering twice is filtering once."""

import unicodedata
from collections.abc import Iterator, Sequence
from typing import Annotated

from alignlab.data.encoding.id_turns import ids_in
from alignlab.data.reading.rows import Drop
from alignlab.data.transforms.margins import SCALES, check_bounds, ends, margin, out_of_bounds
from alignlab.data.transforms.texts import words, written
from alignlab.errors import DataError, one_of
from alignlab.settings import AnyNumber, Count, NonNegative, Share, whole
from alignlab.types import Example, Message

SENTENCE_ENDS = ".!?\u2026\u3002\uff0e\uff01\uff1f\uff61\u061f\u06d4\u0964\u0965"
CLOSING_MARKS = "\"'*_~|>$%"
CLOSING_CATEGORIES = ("Pe", "Pf", "So", "Sk")
"""The Unicode categories of closing brackets and quotes, of symbols such as emoji, and of their modifiers."""


def filter_gap(
    example: Example, *, by: str = "labels", low: AnyNumber | None = None, high: AnyNumber | None = None
) -> Iterator[Example]:
    """Keep rows whose best and worst response are between `low` and `high` apart, in labels or rewards.

    Raises DataError for by=rewards on a row that has none.
    """
    one_of("pipeline.filter_gap.by", by, SCALES)
    check_bounds("filter_gap", low, high)
    gap = abs(margin(example, by, "pipeline.filter_gap.by=labels"))
    if reason := out_of_bounds(gap, low, high, f"gap of {by}"):
        raise Drop(reason)
    yield example


def filter_ties(example: Example, *, ties: str = "top") -> Iterator[Example]:
    """Drop lists with more than one best response (`top`), or with any two equal labels (`any`)."""
    labels = example.labels
    if one_of("pipeline.filter_ties.ties", ties, ("top", "any")) == "top":
        if labels.count(max(labels)) > 1:
            raise Drop("the best label is tied")
    elif len(set(labels)) < len(labels):
        raise Drop("labels are tied")
    yield example


def filter_length_ratio(
    example: Example, *, low: NonNegative | None = None, high: NonNegative | None = None
) -> Iterator[Example]:
    """Keep rows whose best response is between `low` and `high` times as long as the worst, in characters."""
    check_bounds("filter_length_ratio", low, high)
    best, worst = (len(written(example.responses[i]).strip()) for i in ends(example))
    if reason := out_of_bounds(best / max(worst, 1), low, high, "length of the best to the worst response"):
        raise Drop(reason)
    yield example


def filter_repetition(
    example: Example, *, n: Annotated[int, whole(1, 1000)] = 4, high: Share = 0.2, of: str = "any"
) -> Iterator[Example]:
    """Drop rows whose best (or any) response repeats more than a share `high` of its n-grams of words."""
    responses = _those(example, one_of("pipeline.filter_repetition.of", of, ("any", "best")))
    if max(repeated_share(words(written(response)), n) for response in responses) > high:
        raise Drop(f"more than {high:.6g} of the {n}-grams are repeated")
    yield example


def filter_no_eos(example: Example, *, of: str = "any", min_words: Count = 8) -> Iterator[Example]:
    """Drop rows whose best (or any) response looks cut off: it does not end as a text ends.

    This is a heuristic, since text does not show whether its writer was done. An end is a mark that ends a
    sentence, a closing bracket or quote, an emoji, a percent sign, or what closes Markdown, HTML or TeX.
    Words, digits, commas, colons and dashes are no ends. Responses of fewer than `min_words` words pass: short
    answers need no full stop.

    Raises DataError for a row of token ids.
    """
    for response in _those(example, one_of("pipeline.filter_no_eos.of", of, ("any", "best"))):
        if ids_in(response) is not None:
            raise DataError(
                f"row {example.id} holds token ids; filter_no_eos reads text: drop it from the pipeline"
            )
        content = written(response)
        if not ends_as_a_text(content) and len(words(content)) >= min_words:
            raise Drop("a response is cut off: it does not end as a text ends")
    yield example


def repeated_share(tokens: Sequence[str], n: int) -> float:
    """The share of n-grams that repeat an earlier one, in [0, 1]: rep-n of arXiv:2210.14140, divided by 100.

    >>> repeated_share("a b a b a b c d".split(), 2)  # 4 distinct of 7
    0.4285714285714286
    """
    grams = [tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def ends_as_a_text(content: str) -> bool:
    """Whether the last character of a text can end a whole text, as a full stop or a closing bracket can.

    >>> [ends_as_a_text(t) for t in ("Done.", "(see above)", "of course, the", "first,")]
    [True, True, False, False]
    """
    last = content.rstrip().rstrip("\ufe0f")[-1:]
    return bool(last) and (
        last in SENTENCE_ENDS + CLOSING_MARKS or unicodedata.category(last) in CLOSING_CATEGORIES
    )


def _those(example: Example, of: str) -> list[list[Message] | str]:
    return example.responses if of == "any" else [example.responses[ends(example)[0]]]
