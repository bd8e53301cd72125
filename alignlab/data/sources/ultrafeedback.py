"""UltraFeedback (arXiv:2310.01377), schema of openbmb/UltraFeedback: rated completions of an instruction.

source       str
instruction  str
completions  list of {response: str, overall_score: float, fine-grained_score: float, model: str, critique: str,
             annotations: {aspect: {Rating: str, Rationale: str, Rationale For Rating: str, ...}}, ...};
             the aspects differ by source
"""

import re
from collections.abc import Mapping
from typing import Any

from alignlab.data.reading.rows import RowError, column, finite, user
from alignlab.data.sources.columns import text_of
from alignlab.settings import Scale
from alignlab.types import Example

REASONS = ("Rationale For Rating", "Rationale")
"""The entries of an annotation that may tell the reason of its rating; the first where there are both."""
NUMBER = re.compile(r"\d{1,3}(\.\d{1,9})?", re.ASCII)


def convert(row: Mapping[str, Any], *, score: str = "overall_score", scale: Scale = (1.0, 10.0)) -> Example:
    """Convert a list: rewards are the raw scores, labels these mapped from `scale` to [0, 1].

    `meta["ratings"]` holds the rating of each completion in each aspect that its source rates, `meta["rationales"]`
    the reasons of these ratings, and `meta["critiques"]` the critique of each completion (empty where it has none).
    """
    completions = column(row, "completions", list)
    if len(completions) < 2:
        raise RowError("completions", f"expected at least 2 rated completions, found {len(completions)}")
    rewards = [_score(completion, i, score) for i, completion in enumerate(completions)]
    low, high = scale
    if not all(low <= reward <= high for reward in rewards):
        raise RowError(score, f"{rewards} leaves the scale {low}..{high}; set data.source.scale=[low,high]")
    return Example(
        prompt=user(column(row, "instruction", str)),
        responses=[column(completion, "response", str) for completion in completions],
        labels=[(reward - low) / (high - low) for reward in rewards],
        rewards=rewards,
        meta={
            "source": text_of(row, "source"),
            "models": [text_of(completion, "model") for completion in completions],
            "ratings": [_ratings(completion) for completion in completions],
            "critiques": [text_of(completion, "critique").strip() for completion in completions],
            "rationales": [_reasons(completion) for completion in completions],
        },
    )


def _score(completion: Any, index: int, score: str) -> float:
    if not isinstance(completion, Mapping) or score not in completion:
        raise RowError(f"completions[{index}]", f"has no '{score}'")
    return finite(completion[score], f"completions[{index}].{score}")


def _ratings(completion: Mapping[str, Any]) -> dict[str, float]:
    """The ratings by aspect, without aspects that have no number ("N/A")."""
    texts = {aspect: text_of(annotation, "Rating") for aspect, annotation in _annotations(completion)}
    return {aspect: float(text) for aspect, text in texts.items() if NUMBER.fullmatch(text)}


def _reasons(completion: Mapping[str, Any]) -> dict[str, str]:
    """The reasons of the ratings by aspect, without aspects that have none."""
    texts = {
        aspect: next(filter(None, (text_of(annotation, name).strip() for name in REASONS)), "")
        for aspect, annotation in _annotations(completion)
    }
    return {aspect: text for aspect, text in texts.items() if text}


def _annotations(completion: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """The annotations of a completion, each with its aspect."""
    annotations = completion.get("annotations")
    aspects = annotations.items() if isinstance(annotations, Mapping) else ()
    return [(aspect, annotation) for aspect, annotation in aspects if isinstance(annotation, Mapping)]
