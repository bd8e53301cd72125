"""Converts rows of one's own files: our canonical schema, or the preference schemas of TRL, told by columns.

    canonical   prompt, responses, labels or rewards (or both) [, weight, id, meta]
    paired      [prompt,] chosen, rejected [, scores of both, or margin] [, reference]
    unpaired    prompt, completion, label

Texts may be plain strings or lists of {role, content}. Without `prompt`, or where chosen and rejected
are whole dialogues, the prompt is the part that they share. Rewards without labels make them: 1 for the
highest of a list, 0 for the lowest, linear between. Scores become rewards; a margin alone stands as the
rewards (margin, 0). `reference` is a reply above the chosen one (TRL's triples). In csv files, lists are
written as JSON. Columns that other tools add are left alone, but for those that would change
what the model reads (images, tools): they are refused.
"""

import json
import re
from bisect import bisect_left
from collections.abc import Mapping
from typing import Any

from alignlab.data.reading.rows import Drop, RowError, column, finite, messages, number, user
from alignlab.data.sources.columns import by_reward, id_of
from alignlab.types import Example

Text = str | list[Any]
SCORES = ("score_chosen", "score_rejected"), ("chosen_score", "rejected_score"), (
    "chosen_rating", "rejected_rating"), ("chosen-rating", "rejected-rating")  # fmt: skip
"""The column names for the scores of a pair; the first two that a row has both of count."""
NOT_TEXT = ("responses", "labels", "rewards", "label", "weight", "margin", "meta", *sum(SCORES, ()))
REFUSED = ("image", "images", "tools", "chat_template_kwargs")
BOOLEANS = {"True": "true", "False": "false", "TRUE": "true", "FALSE": "false"}
SCHEMAS = (
    "prompt + responses + labels (or rewards), [prompt +] chosen + rejected, or prompt + completion + label"
)


def convert(row: Mapping[str, Any]) -> Example:
    """Convert a raw row of the schema that its columns show; RowError for an unknown one."""
    row = {name: _parsed(value) if name in NOT_TEXT else value for name, value in row.items()}
    for name in REFUSED:
        if row.get(name):
            raise RowError(
                name, "would change what the model reads, and is not supported; take the column out"
            )
    if "responses" in row:
        return _canonical(row)
    if "chosen" in row or "rejected" in row:
        return _paired(row)
    if "completion" in row:
        label = column(row, "label", (bool, int, float))
        value = float(label) if isinstance(label, bool) else finite(label, "label")
        return _example(row, _text(row, "prompt"), [_text(row, "completion")], [value])
    if "completions" in row:
        raise RowError("completions", f"steps of one answer, which is no preference; expected {SCHEMAS}")
    raise RowError("responses", f"missing; expected {SCHEMAS}, found {', '.join(sorted(row))}")


def _canonical(row: Mapping[str, Any]) -> Example:
    responses = column(row, "responses", list)
    rewards = column(row, "rewards", list) if row.get("rewards") is not None else None
    labels = by_reward(rewards) if rewards and row.get("labels") is None else column(row, "labels", list)
    texts = [_turns(r, f"responses[{i}]") if isinstance(r, list) else r for i, r in enumerate(responses)]
    return _example(row, _text(row, "prompt"), texts, labels, rewards)


def _paired(row: Mapping[str, Any]) -> Example:
    chosen, rejected = _text(row, "chosen"), _text(row, "rejected")
    if chosen == rejected:
        raise Drop("chosen and rejected are identical")
    named = _text(row, "prompt") if row.get("prompt") is not None else None
    if named is not None and not _opens(chosen):
        prompt = named
    else:
        prompt, chosen, rejected = _shared(chosen, rejected)
        if isinstance(named, list) and messages(named, "prompt") != messages(prompt, "chosen"):
            raise RowError("prompt", "is not what 'chosen' and 'rejected' begin with")
    rewards, margin = _rewards(row), number(row, "margin") if row.get("margin") is not None else None
    if row.get("reference") is not None:
        above = [_text(row, "reference"), chosen, rejected]
        return _example(row, prompt, above, [1.0, 0.5, 0.0])
    if margin is not None:
        rewards = rewards or [margin, 0.0]
    return _example(row, prompt, [chosen, rejected], [1.0, 0.0], rewards)


def _rewards(row: Mapping[str, Any]) -> list[float] | None:
    for names in SCORES:
        if all(row.get(name) is not None for name in names):
            return [number(row, name) for name in names]
    return None


def _example(
    row: Mapping[str, Any],
    prompt: Text,
    responses: list[Any],
    labels: list[Any],
    rewards: list[Any] | None = None,
) -> Example:
    return Example(
        prompt=user(prompt) if isinstance(prompt, str) else messages(prompt, "prompt"),
        responses=[
            r if isinstance(r, str) else messages(r, f"responses[{i}]") for i, r in enumerate(responses)
        ],
        labels=[finite(value, f"labels[{i}]") for i, value in enumerate(labels)],
        rewards=None if rewards is None else [finite(v, f"rewards[{i}]") for i, v in enumerate(rewards)],
        weight=number(row, "weight") if row.get("weight") is not None else 1.0,
        id=id_of(row),
        meta=_meta(row),
    )


def _meta(row: Mapping[str, Any]) -> dict[str, Any]:
    """The meta of the raw row, with its columns `source` and `margin`."""
    meta = row.get("meta")
    columns = {name: row[name] for name in ("source", "margin") if row.get(name) is not None}
    meta = {**columns, **meta} if isinstance(meta, Mapping) else columns
    try:
        json.dumps(meta)
    except (TypeError, ValueError, RecursionError) as error:
        raise RowError("meta", f"expected what JSON can hold: {error}") from error
    return meta


def _shared(chosen: Text, rejected: Text) -> tuple[Text, Text, Text]:
    """Split two dialogues into (prompt, chosen, rejected), where the prompt is their common start."""
    places = range(min(len(chosen), len(rejected)))
    cut = bisect_left(places, True, key=lambda last: chosen[: last + 1] != rejected[: last + 1])
    if isinstance(chosen, str):
        spaces = [match.end() for match in re.finditer(r"\s", chosen[:cut])]
        cut = spaces[-1] if spaces else 0  # never inside a word
    prompt = chosen[:cut]
    if not prompt:
        raise RowError("prompt", "missing, and chosen and rejected share no beginning")
    return prompt, chosen[cut:], rejected[cut:]


def _opens(text: Text) -> bool:
    """Whether a text is a whole dialogue, and not a reply alone."""
    first = text[0] if isinstance(text, list) and text else None
    return isinstance(first, Mapping) and first.get("role") in ("system", "user")


def _parsed(value: Any) -> Any:
    """A number, truth value or list that a csv cell holds as text."""
    try:
        return json.loads(BOOLEANS.get(value, value)) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        return value


def _text(row: Mapping[str, Any], name: str) -> Text:
    """A plain text or the turns of a dialogue, which a csv cell holds as JSON."""
    value = column(row, name, (str, list))
    if isinstance(value, str) and re.match(r"""\s*\[\s*\{\s*["'](role|content)["']""", value):
        value = _parsed(value)
        if isinstance(value, str):
            raise RowError(name, f"looks like a list of messages, and is no JSON: {value!r:.60}")
    return value if isinstance(value, str) else _turns(value, name)


def _turns(turns: list[Any], name: str) -> list[Any]:
    """Turns with plain texts, where they hold lists of text blocks; what is no text is refused."""
    plain = []
    for place, turn in enumerate(turns):
        if not isinstance(turn, Mapping):
            return turns  # not a dialogue: the check of messages says so
        if turn.get("tool_calls"):
            raise RowError(name, f"turn {place}: tool calls are not supported")
        blocks = turn.get("content")
        if isinstance(blocks, list):
            if not all(isinstance(b, Mapping) and isinstance(b.get("text"), str) for b in blocks):
                raise RowError(name, f"turn {place}: expected text, found {blocks!r:.60}")
            turn = {**turn, "content": "".join(block["text"] for block in blocks)}
        plain.append(turn)
    return plain
