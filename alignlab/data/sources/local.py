"""Files of one's own: our canonical schema, or the preference schemas of TRL, told by their columns.

    canonical   prompt, responses, labels [, rewards, weight, id, meta]
    paired      [prompt,] chosen, rejected [, score_chosen, score_rejected]
    unpaired    prompt, completion, label

Texts may be plain strings or lists of {role, content}. Without `prompt`, it is the part that chosen
and rejected share.
"""

from collections.abc import Mapping
from itertools import takewhile
from typing import Any

from alignlab.data.rows import Drop, RowError, column, number, user
from alignlab.types import Example, Message

Text = str | list[Message]


def convert(row: Mapping[str, Any]) -> Example:
    """One row of whichever schema its columns tell."""
    if "responses" in row:
        return _canonical(row)
    if "chosen" in row or "rejected" in row:
        return _paired(row)
    if "completion" in row:
        label = column(row, "label", (bool, int, float))
        return _example(row, _text(row, "prompt"), [_text(row, "completion")], [float(label)])
    raise RowError(
        "responses",
        f"missing; expected prompt + responses + labels, or chosen + rejected, found {', '.join(sorted(row))}",
    )


def _canonical(row: Mapping[str, Any]) -> Example:
    responses, labels = column(row, "responses", list), column(row, "labels", list)
    rewards = column(row, "rewards", list) if row.get("rewards") is not None else None
    return _example(row, _text(row, "prompt"), responses, labels, rewards)


def _paired(row: Mapping[str, Any]) -> Example:
    chosen, rejected = _text(row, "chosen"), _text(row, "rejected")
    if chosen == rejected:
        raise Drop("chosen and rejected are identical")
    if row.get("prompt") is not None:
        prompt = _text(row, "prompt")
    else:
        prompt, chosen, rejected = _shared(chosen, rejected)
    rewards = [number(row, f"score_{side}") for side in ("chosen", "rejected") if f"score_{side}" in row]
    return _example(row, prompt, [chosen, rejected], [1.0, 0.0], rewards if len(rewards) == 2 else None)


def _example(
    row: Mapping[str, Any],
    prompt: Text,
    responses: list[Any],
    labels: list[float],
    rewards: list[float] | None = None,
) -> Example:
    meta = row.get("meta")
    return Example(
        prompt=user(prompt) if isinstance(prompt, str) else prompt,
        responses=responses,
        labels=labels,
        rewards=rewards,
        weight=number(row, "weight") if row.get("weight") is not None else 1.0,
        id=str(row.get("id") or ""),
        meta=dict(meta) if isinstance(meta, Mapping) else {},
    )


def _shared(chosen: Text, rejected: Text) -> tuple[Text, Text, Text]:
    """(prompt, chosen, rejected) where the prompt is the common start."""
    cut = sum(1 for _ in takewhile(lambda both: both[0] == both[1], zip(chosen, rejected, strict=False)))
    if isinstance(chosen, str):
        cut = chosen.rfind(" ", 0, cut) + 1  # never inside a word
    prompt = chosen[:cut]
    if not prompt:
        raise RowError("prompt", "missing, and chosen and rejected share no beginning")
    return prompt, chosen[cut:], rejected[cut:]


def _text(row: Mapping[str, Any], name: str) -> Text:
    return column(row, name, (str, list))
