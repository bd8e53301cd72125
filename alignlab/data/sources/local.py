"""Files of one's own: our canonical schema, or the preference schemas of TRL, told by their columns.

    canonical   prompt, responses, labels [, rewards, weight, id, meta]
    paired      [prompt,] chosen, rejected [, score_chosen, score_rejected]
    unpaired    prompt, completion, label

Texts may be plain strings or lists of {role, content}. Without `prompt`, or where chosen and rejected
are whole dialogues, the prompt is the part that they share. In csv files, lists are written as JSON.
"""

import json
from collections.abc import Mapping
from itertools import takewhile
from typing import Any

from alignlab.data.rows import Drop, RowError, column, finite, messages, number, user
from alignlab.types import Example

Text = str | list[Any]
NOT_TEXT = (
    "responses", "labels", "rewards", "label", "score_chosen", "score_rejected", "weight", "meta"
)  # fmt: skip
BOOLEANS = {"True": "true", "False": "false"}


def convert(row: Mapping[str, Any]) -> Example:
    """One row of whichever schema its columns tell."""
    row = {name: _parsed(value) if name in NOT_TEXT else value for name, value in row.items()}
    if "responses" in row:
        return _canonical(row)
    if "chosen" in row or "rejected" in row:
        return _paired(row)
    if "completion" in row:
        label = column(row, "label", (bool, int, float))
        value = float(label) if isinstance(label, bool) else finite(label, "label")
        return _example(row, _text(row, "prompt"), [_text(row, "completion")], [value])
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
    if row.get("prompt") is not None and not _opens(chosen):
        prompt = _text(row, "prompt")
    else:
        prompt, chosen, rejected = _shared(chosen, rejected)
    scores = [name for name in ("score_chosen", "score_rejected") if row.get(name) is not None]
    rewards = [number(row, name) for name in scores] if len(scores) == 2 else None
    return _example(row, prompt, [chosen, rejected], [1.0, 0.0], rewards)


def _example(
    row: Mapping[str, Any],
    prompt: Text,
    responses: list[Any],
    labels: list[Any],
    rewards: list[Any] | None = None,
) -> Example:
    meta = row.get("meta")
    return Example(
        prompt=user(prompt) if isinstance(prompt, str) else messages(prompt, "prompt"),
        responses=[
            r if isinstance(r, str) else messages(r, f"responses[{i}]") for i, r in enumerate(responses)
        ],
        labels=[finite(value, f"labels[{i}]") for i, value in enumerate(labels)],
        rewards=None if rewards is None else [finite(v, f"rewards[{i}]") for i, v in enumerate(rewards)],
        weight=number(row, "weight") if row.get("weight") is not None else 1.0,
        id="" if row.get("id") is None else str(row["id"]),
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


def _opens(text: Text) -> bool:
    """Whether a text is a dialogue from its beginning, and not a reply alone."""
    first = text[0] if isinstance(text, list) and text else None
    return isinstance(first, Mapping) and first.get("role") in ("system", "user")


def _parsed(value: Any) -> Any:
    """A number, truth value or list that a csv cell holds as text."""
    try:
        return json.loads(BOOLEANS.get(value, value)) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        return value


def _text(row: Mapping[str, Any], name: str) -> Text:
    return column(row, name, (str, list))
