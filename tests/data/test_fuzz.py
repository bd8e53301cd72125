"""Whatever stands in a row, it becomes a sound list, is dropped, or is one clear error."""

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alignlab.data.reading.examples import Report, converted
from alignlab.data.reading.files import grouped
from alignlab.data.reading.rows import Origin, validate
from alignlab.data.sources import (
    helpsteer2,
    hh_rlhf,
    kto,
    local,
    nectar,
    oasst,
    sentiment,
    shp,
    tldr,
    token_ids,
    ultrafeedback,
    ultrafeedback_binarized,
    webgpt,
)
from alignlab.errors import DataError
from alignlab.types import Example
from tests.data.sources.rows import (
    HELPSTEER2,
    KTO,
    NECTAR,
    OASST,
    SENTIMENT,
    SHP,
    STRENGTH,
    TLDR,
    TREE,
    WEBGPT,
    said,
)
from tests.data.test_bad_rows import GOOD, LIST
from tests.data.test_sources import BINARIZED, DIALOGUE, RATED

CASES = 130
"""Mutated rows of each schema: more than 2,000 in all."""


@dataclass
class Schema:
    """Sound rows that make one list or more, and how to read them."""

    convert: Callable[..., Any]
    rows: list[dict[str, Any]]
    group_by: str | None = None
    composed: bool = False
    """The prompt is put together of several columns."""
    lists: list[Example] = field(init=False)

    def __post_init__(self):
        self.lists = self.read([self.rows], skip_bad=False)[0]
        assert self.lists

    def read(self, groups, *, skip_bad):
        """The lists of groups of rows, with the account; each group stands in a file of its own."""
        report, found = Report(), []
        for number, rows in enumerate(groups):
            raw = [(Origin(f"{number}.jsonl", place), row) for place, row in enumerate(rows, 1)]
            raw = grouped(raw, self.group_by) if self.group_by else raw
            found += converted(raw, self.convert, report, skip_bad=skip_bad)
        return found, report


IDS = {"id": "a", "prompt_ids": [1, 2], "responses": [[3], [4, 5]]}
TRIPLE = {
    "prompt": "Which?",
    "chosen": "red",
    "rejected": "blue",
    "margin": 1.0,
    "reference": "pink",
    "source": "x",
}
SCHEMAS = {
    "hh_rlhf": Schema(hh_rlhf.convert, [{"chosen": DIALOGUE + " red", "rejected": DIALOGUE + " blue"}]),
    "ultrafeedback": Schema(ultrafeedback.convert, [RATED]),
    "ultrafeedback_fine": Schema(partial(ultrafeedback.convert, score="fine-grained_score"), [RATED]),
    "ultrafeedback_binarized": Schema(ultrafeedback_binarized.convert, [BINARIZED]),
    "oasst": Schema(oasst.convert, [OASST]),
    "oasst_trees": Schema(oasst.convert, [TREE]),
    "shp": Schema(shp.convert, [SHP]),
    "helpsteer2": Schema(helpsteer2.convert, HELPSTEER2["rows"], group_by="prompt"),
    "helpsteer2_preference": Schema(helpsteer2.convert_preference, [STRENGTH]),
    "webgpt": Schema(webgpt.convert, [WEBGPT]),
    "tldr": Schema(tldr.convert, [TLDR], composed=True),
    "nectar": Schema(nectar.convert, [NECTAR]),
    "kto": Schema(kto.convert, [KTO]),
    "sentiment": Schema(sentiment.convert, [SENTIMENT]),
    "token_ids": Schema(token_ids.convert, [IDS], composed=True),
    "local_pairs": Schema(local.convert, [GOOD]),
    "local_triples": Schema(local.convert, [TRIPLE]),
    "local_lists": Schema(local.convert, [LIST | {"rewards": [1.0, 2.0], "weight": 1.0, "meta": {"a": 1}}]),
    "local_single": Schema(local.convert, [{"prompt": BINARIZED["chosen"][:-1], "completion": "red", "label": True}]),
    "local_dialogues": Schema(
        local.convert, [{k: BINARIZED[k] for k in ("chosen", "rejected", "score_chosen", "score_rejected")}]
    ),
}  # fmt: skip
NASTY = [
    None, True, -1, 10**400, math.nan, math.inf, -math.inf, "", " ", "\u2028", "x" * 100_000, "\ud800", "\x00",
    "[]", "9" * 5000, b"red", said("user", "x"), said("system", "x"), [said("assistant", "x")], ["x"] * 50, {}, [],
]  # fmt: skip
odd = st.recursive(
    st.sampled_from(NASTY) | st.text(max_size=5) | st.floats(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["role", "content", "x"]), inner, max_size=3)
    ),
    max_leaves=4,
)  # fmt: skip


def places(value, path=()):
    """Every place in a nested row."""
    yield path
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inside:
        yield from places(item, (*path, key))


def mutated(value, path, change):
    """A copy of the row with `change` applied at one place."""
    if not path:
        return change(value)
    key, *rest = path
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[key] = mutated(value[key], rest, change)
    return copy


def remove_first(value):
    return dict(list(value.items())[1:]) if isinstance(value, dict) else value[1:] if value else value


def renamed(value):
    return {f"{key}s": item for key, item in value.items()}


CHANGES = (
    lambda old: [old],
    lambda old: old[::-1] if isinstance(old, (str, list)) else [old, old],
    lambda old: remove_first(old) if isinstance(old, (str, list, dict)) else old,
    lambda old: old + old if isinstance(old, (str, list)) else {"content": old},
    lambda old: renamed(old) if isinstance(old, dict) else str(old),
)


def strings(value):
    """All texts in a row."""
    if isinstance(value, str):
        yield value
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for item in inside:
        yield from strings(item)


def check_sound(example, rows, schema):
    """A list as every later part wants it, made of nothing but texts of the row."""
    assert validate(example) == example
    json.dumps(example.meta)
    sizes = {len(example.responses), len(example.labels), len(example.rewards or example.labels)}
    assert len(sizes) == 1
    assert all(math.isfinite(v) for v in [*example.labels, *(example.rewards or []), example.weight])
    assert example.prompt[-1]["role"] != "assistant"
    texts = list(strings(rows))
    for turns in [*([] if schema.composed else [example.prompt]), *example.responses]:
        assert any(turn["content"].encode().strip() for turn in turns)
        for turn in turns:
            assert schema.convert is token_ids.convert or any(turn["content"] in text for text in texts)


def accounted(report):
    """Rows in are rows out (which may be several of one row) and rows dropped."""
    counts = report.steps["source"]
    return counts["in"], counts["out"], sum(n for what, n in counts.items() if what.startswith("dropped"))


def failure_of(schema, rows):
    """(lists, message of the error)."""
    try:
        return schema.read([rows], skip_bad=False)[0], ""
    except DataError as error:
        return [], str(error)


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
@settings(max_examples=CASES, deadline=None)
@given(data=st.data())
def test_any_row_is_a_list_or_one_clear_error(schema, data):
    rows = schema.rows
    for _ in range(data.draw(st.sampled_from([1, 1, 2]))):
        path = data.draw(st.sampled_from([place for place in places(rows) if len(place) > 1]))
        new = data.draw(odd)
        changes = [*CHANGES, lambda _, new=new: new]
        rows = mutated(rows, path, data.draw(st.sampled_from(changes)))
    alone, message = failure_of(schema, rows)
    if message:
        found = re.match(
            r"0\.jsonl, row (\d+)( \(id .*\))?: column '.*data\.(on_bad_row=skip|columns=|ignored=)",
            message,
            re.DOTALL,
        )
        assert found, message
        assert 1 <= int(found[1]) <= len(rows)
    for example in alone:
        check_sound(example, rows, schema)

    sound = schema.rows
    found, report = schema.read([sound, rows, sound], skip_bad=True)
    came_in, came_out, dropped = accounted(report)
    assert (len(found), len(report.dropped)) == (came_out, dropped)
    assert came_in <= came_out + dropped
    assert not message or dropped
    lists = len(schema.lists)
    assert found[:lists] == schema.lists
    between = found[lists : len(found) - lists]
    assert [example.labels for example in between[: len(alone)]] == [example.labels for example in alone]
    for example in between:
        check_sound(example, rows, schema)
