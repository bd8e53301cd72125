"""UltraFeedback (arXiv:2310.01377), schema of openbmb/UltraFeedback: rated completions of an instruction.

source       str
instruction  str
completions  list of {response: str, overall_score: float, fine-grained_score: float, model: str, ...}
"""

from collections.abc import Mapping, Sequence
from typing import Any

from alignlab.data.rows import RowError, column, finite, user
from alignlab.types import Example


def convert(
    row: Mapping[str, Any], *, score: str = "overall_score", scale: Sequence[float] = (1.0, 10.0)
) -> Example:
    """Rewards are the raw scores; labels are scores mapped from `scale` to [0, 1]."""
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
        meta={"source": row.get("source", ""), "models": [c.get("model", "") for c in completions]},
    )


def _score(completion: Any, index: int, score: str) -> float:
    if not isinstance(completion, Mapping) or score not in completion:
        raise RowError(f"completions[{index}]", f"has no '{score}'")
    return finite(completion[score], f"completions[{index}].{score}")
