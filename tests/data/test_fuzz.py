"""Whatever stands in a row, it becomes a sound example, is dropped, or is one clear error."""

import math
from functools import partial

from hypothesis import given, settings
from hypothesis import strategies as st

from alignlab.data.examples import Report, converted
from alignlab.data.rows import Origin
from alignlab.data.sources import hh_rlhf, local, ultrafeedback, ultrafeedback_binarized
from alignlab.errors import DataError
from tests.data.test_bad_rows import GOOD, LIST
from tests.data.test_sources import BINARIZED, DIALOGUE, RATED

SOUND = [
    (hh_rlhf.convert, {"chosen": DIALOGUE + " red", "rejected": DIALOGUE + " blue"}),
    (ultrafeedback.convert, RATED),
    (partial(ultrafeedback.convert, score="fine-grained_score"), RATED),
    (ultrafeedback_binarized.convert, BINARIZED),
    (local.convert, GOOD),
    (local.convert, LIST | {"rewards": [1.0, 2.0], "weight": 1.0, "meta": {"a": 1}}),
    (local.convert, {"prompt": BINARIZED["chosen"][:-1], "completion": "red", "label": True}),
    (local.convert, {k: BINARIZED[k] for k in ("chosen", "rejected", "score_chosen", "score_rejected")}),
]
NASTY = [
    None,
    True,
    -1,
    10**400,
    math.nan,
    math.inf,
    "",
    " ",
    "x" * 10_000,
    "\ud800",
    "\x00",
    "[]",
    "9" * 5000,
]
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


@settings(max_examples=400, deadline=None)
@given(data=st.data(), sound=st.sampled_from(SOUND))
def test_any_row_is_an_example_or_one_clear_error(data, sound):
    convert, row = sound
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from([place for place in places(row) if place]))
        replacement = data.draw(odd)
        changes = [
            lambda _, new=replacement: new,
            lambda old: [old],
            lambda old: old[::-1] if isinstance(old, (str, list)) else [old, old],
            lambda old: remove_first(old) if isinstance(old, (str, list, dict)) else old,
            lambda old: old + old if isinstance(old, (str, list)) else {"content": old},
        ]
        row = mutated(row, path, data.draw(st.sampled_from(changes)))
    report = Report()
    try:
        made = list(converted([(Origin("f.jsonl", 5), row)], convert, report, skip_bad=False))
    except DataError as error:
        message = str(error)
    else:
        message = ""
    if message:
        for part in ("f.jsonl, row 5", "column '", "data.on_bad_row=skip"):
            assert part in message
        return
    assert len(made) + len(report.dropped) == 1
    for example in made:
        sizes = {len(example.responses), len(example.labels), len(example.rewards or example.labels)}
        assert len(sizes) == 1
        assert all(math.isfinite(v) for v in [*example.labels, *(example.rewards or []), example.weight])
        for turns in [example.prompt, *example.responses]:
            assert any(turn["content"].encode().strip() for turn in turns)
        assert example.prompt[-1]["role"] != "assistant"
