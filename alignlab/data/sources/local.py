"""Converts rows of one's own files: our canonical schema, or the preference schemas of TRL, told by columns.

    canonical   prompt, responses, labels or rewards (or both) [, weight, id, meta]
    paired      [prompt,] chosen, rejected [, scores of both, or margin]
    unpaired    prompt, completion, label

Texts may be plain strings or turns, {role, content} or {from, value}. Where there is no `prompt`, a `question`,
`instruction` (with `input`) or `query` is it, or the turns of `conversations` or `messages`; `system` and `history`
stand before it. Without any, or where chosen and rejected are whole dialogues, the prompt is the part that they share.
Rewards without labels make them: 1 for the highest of a list, 0 for the lowest, linear between. Scores become rewards;
a margin alone stands as the rewards (margin, 0). In csv files, lists are written as JSON. Columns that would change
what the model reads and cannot be used (images, documents) are refused.
"""

import json
import re
from bisect import bisect_left
from collections.abc import Mapping
from typing import Any

from alignlab.data.reading.noted_row import has, note
from alignlab.data.reading.rows import (
    Drop,
    RowError,
    column,
    finite,
    messages,
    missing,
    storable,
    user,
)
from alignlab.data.reading.turns import Text, text_of_column, text_of_value, without_marks
from alignlab.data.sources.asked import prompt_of, refuse_unreadable, tools_of, with_context
from alignlab.data.sources.columns import by_reward, id_of
from alignlab.data.sources.other_schemas import refuse_hh_rlhf, unknown
from alignlab.signals import DRAWN
from alignlab.types import Example, Message

SCORES = ("score_chosen", "score_rejected"), ("chosen_score", "rejected_score"), (
    "chosen_rating", "rejected_rating"), ("chosen-rating", "rejected-rating")  # fmt: skip
"""The column names for the scores of a pair; the first two that a row has both of count."""
BOOLEANS = {"True": "true", "False": "false", "TRUE": "true", "FALSE": "false"}
META = ("source", "margin", "user", *sorted(DRAWN))
"""Columns that are kept in the meta of a row, those of what a sampler told among them."""


def convert(row: Mapping[str, Any], *, triples: bool = False) -> Example:
    """Convert a raw row of the schema that its columns show; RowError for an unknown one.

    With `triples`, a column `reference` is a reply above the chosen one, as in TRL's triples.
    """
    refuse_unreadable(row)
    if has(row, "responses"):
        return _canonical(row)
    if has(row, "chosen") or has(row, "rejected"):
        return _paired(row, triples)
    if has(row, "completion"):
        return _unpaired(row)
    raise unknown(row)


def _canonical(row: Mapping[str, Any]) -> Example:
    responses = _cell(row, "responses", list)
    rewards = _cell(row, "rewards", list) if has(row, "rewards") else None
    labels = by_reward(rewards) if rewards and not has(row, "labels") else _cell(row, "labels", list)
    names = [f"responses[{i}]" for i in range(len(responses))]
    texts = {name: text_of_value(row, each, name) for name, each in zip(names, responses, strict=True)}
    return _example(row, _prompt(row), texts, labels, rewards)


def _unpaired(row: Mapping[str, Any]) -> Example:
    label = _cell(row, "label", (bool, int, float))
    value = float(label) if isinstance(label, bool) else finite(label, "label")
    return _example(row, _prompt(row), {"completion": text_of_column(row, "completion")}, [value])


def _paired(row: Mapping[str, Any], triples: bool) -> Example:
    prompt, chosen, rejected = _parts(row)
    rewards, margin = _rewards(row), _number(row, "margin") if has(row, "margin") else None
    replies = {"chosen": chosen, "rejected": rejected}
    if triples and has(row, "reference"):
        best = {"reference": text_of_column(row, "reference")}
        return _example(row, prompt, best | replies, [1.0, 0.5, 0.0])
    if margin is not None:
        rewards = rewards or [margin, 0.0]
    return _example(row, prompt, replies, [1.0, 0.0], rewards)


def _parts(row: Mapping[str, Any]) -> tuple[Text, Text, Text]:
    """The prompt, the chosen and the rejected reply of a pair."""
    for name, other in (("chosen", "rejected"), ("rejected", "chosen")):
        if name not in row:
            raise missing(row, name, other)
    chosen, rejected = text_of_column(row, "chosen"), text_of_column(row, "rejected")
    refuse_hh_rlhf(chosen, "chosen")
    if chosen == rejected:
        raise Drop("chosen and rejected are identical")
    whole = _opens(chosen)
    named = prompt_of(row) if has(row, "prompt") or not whole else None
    if isinstance(named, list) and all(side[: len(named)] == named for side in (chosen, rejected)):
        return named, chosen[len(named) :], rejected[len(named) :]
    if named is not None and not whole:
        return named, chosen, rejected
    if whole and not _opens(rejected):
        raise RowError("rejected", "is a reply alone, where 'chosen' is a whole dialogue")
    if whole and chosen[0] != rejected[0]:
        raise RowError("rejected", "begins otherwise than 'chosen', and the prompt is what both begin with")
    prompt, chosen, rejected = _shared(row, chosen, rejected)
    if named is not None and not _says(prompt, named):
        raise RowError("prompt", "is not what 'chosen' and 'rejected' begin with")
    return prompt, chosen, rejected


def _says(dialogue: Text, prompt: Text) -> bool:
    """Whether a plain prompt stands in a turn of the dialogue that repeats it."""
    if not isinstance(prompt, str):
        return False
    return any(prompt.strip() in turn["content"] for turn in messages(dialogue, "chosen"))


def _rewards(row: Mapping[str, Any]) -> list[float] | None:
    for names in SCORES:
        if all(has(row, name) for name in names):
            return [_number(row, name) for name in names]
    return None


def _prompt(row: Mapping[str, Any]) -> Text:
    prompt = prompt_of(row)
    return column(row, "prompt", (str, list)) if prompt is None else prompt


def _example(
    row: Mapping[str, Any],
    prompt: Text,
    responses: Mapping[str, Any],
    labels: list[Any],
    rewards: list[Any] | None = None,
) -> Example:
    """The example of a row whose responses are given by the names of their columns."""
    asked = without_marks(prompt, "prompt", learned=False)
    meta = _meta(row)
    return Example(
        prompt=with_context(row, user(asked) if isinstance(asked, str) else messages(asked, "prompt")),
        responses=[_response(response, name) for name, response in responses.items()],
        labels=[finite(value, f"labels[{i}]") for i, value in enumerate(labels)],
        rewards=None if rewards is None else [finite(v, f"rewards[{i}]") for i, v in enumerate(rewards)],
        weight=_number(row, "weight") if has(row, "weight") else 1.0,
        id=id_of(row),
        meta=meta,
    )


def _response(response: Any, name: str) -> list[Message] | str:
    if not isinstance(response, str):
        return messages(without_marks(response, name, learned=True), name)
    if not response.strip():
        raise RowError(name, "the response is empty")
    return response


def _meta(row: Mapping[str, Any]) -> dict[str, Any]:
    """The meta of the raw row, with its columns `META`, and the tools that the prompt offers."""
    columns = {name: storable(_parsed(row[name]), name) for name in META if has(row, name)}
    meta = _parsed(row["meta"]) if has(row, "meta") else {}
    if not isinstance(meta, Mapping):
        note(row, "meta")
        meta = {}
    for name in {*columns} & {*meta}:
        note(row, name)
    tools = tools_of(row, meta)
    rest = {name: value for name, value in meta.items() if name != "tools"}
    return storable({**columns, **rest, **({"tools": tools} if tools else {})}, "meta")


def _shared(row: Mapping[str, Any], chosen: Text, rejected: Text) -> tuple[Text, Text, Text]:
    """Split two dialogues into (prompt, chosen, rejected), where the prompt is their common start."""
    places = range(min(len(chosen), len(rejected)))
    cut = bisect_left(places, True, key=lambda last: chosen[: last + 1] != rejected[: last + 1])
    if isinstance(chosen, str):
        spaces = [match.end() for match in re.finditer(r"\s", chosen[:cut])]
        cut = spaces[-1] if spaces else 0  # never inside a word
    while cut and _role(chosen[cut - 1]) == "assistant":
        cut -= 1  # a turn that the replies begin with
    prompt = chosen[:cut]
    if not prompt:
        way_out = missing(row, "prompt").way_out
        raise RowError("prompt", "missing, and chosen and rejected share no beginning", way_out)
    return prompt, chosen[cut:], rejected[cut:]


def _role(turn: Any) -> Any:
    return turn.get("role") if isinstance(turn, Mapping) else None


def _opens(text: Text) -> bool:
    """Whether a text is a whole dialogue, and not a reply alone."""
    first = text[0] if isinstance(text, list) and text else None
    return isinstance(first, Mapping) and first.get("role") in ("system", "user")


def _number(row: Mapping[str, Any], name: str) -> float:
    return finite(_cell(row, name, (int, float)), name)


def _cell(row: Mapping[str, Any], name: str, kind: type | tuple[type, ...]) -> Any:
    """A number, truth value or list of a column, which a csv cell holds as text; RowError for another kind."""
    return column({name: _parsed(column(row, name, (object, bool)))}, name, kind)


def _parsed(value: Any) -> Any:
    try:
        return json.loads(BOOLEANS.get(value, value)) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        return value
