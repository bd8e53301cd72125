"""Tokenized rows on disk: whole or not there, and another fingerprint for anything that changes them."""

import copy
import os
from dataclasses import replace

import numpy as np
import pytest

from alignlab.data import prepare, token_rows
from alignlab.data.examples import Report
from alignlab.data.prepare import fingerprint, tokenized
from alignlab.data.rows import validate
from alignlab.data.tokenize import Encoder, Limits, truncate
from alignlab.types import Example
from tests.data import tokenizers_ as kinds

LIMITS = Limits(40)


def example(i, responses=("It eats mice.", "The fox is red."), **changes):
    fields = {
        "prompt": [{"role": "user", "content": f"Tell me about {i}. Üñí"}],
        "responses": list(responses),
        "labels": [1.0, *[0.0] * (len(responses) - 1)],
        "id": f"row{i}",
        "weight": 1.0 + i,
        "meta": {"text": "漢 \ud800", "odd": {1, 2} and 3},
    }
    return validate(Example(**(fields | changes)))


EXAMPLES = [example(i, [f"It is {k}." for k in range(1 + i % 3)]) for i in range(6)]


@pytest.fixture
def encoder():
    return Encoder(copy.deepcopy(kinds.byte_level()))


def ask(tmp_path, encoder, examples=EXAMPLES, limits=LIMITS):
    report = Report()
    rows, key = tokenized(examples, encoder, limits, tmp_path, report)
    return rows, key, report


def test_rows_are_the_truncated_tokens(tmp_path, encoder):
    rows, _, _ = ask(tmp_path, encoder)
    expected = [truncate(tokens, LIMITS) for tokens in encoder(EXAMPLES)]
    assert len(rows) == len(EXAMPLES)
    for i, (made, tokens) in enumerate(zip(EXAMPLES, expected, strict=True)):
        assert rows.prompts[i].tolist() == tokens.prompt
        assert [rows.responses[m].tolist() for m in rows.members[i]] == tokens.responses
        assert rows.labels[i].tolist() == made.labels
        assert rows.messages(i) == made.prompt
        longest = len(tokens.prompt) + max(map(len, tokens.responses))
        assert rows.widths[i] == longest
        assert rows.unique[i] == len(tokens.prompt) + sum(map(len, tokens.responses))
    assert rows.ids == [e.id for e in EXAMPLES]
    assert rows.weights.tolist() == [e.weight for e in EXAMPLES]
    assert rows.rewards is None


def test_rewards_are_kept_where_every_row_has_them(tmp_path, encoder):
    rated = [replace(e, rewards=[2.0 * v for v in e.labels]) for e in EXAMPLES]
    rows, _, _ = ask(tmp_path, encoder, rated)
    assert [rows.rewards[i].tolist() for i in range(6)] == [e.rewards for e in rated]
    mixed, _, _ = ask(tmp_path, encoder, [*rated[:-1], EXAMPLES[-1]])
    assert mixed.rewards is None


def test_the_cache_is_read_the_second_time(tmp_path, encoder, monkeypatch):
    first, key, report = ask(tmp_path, encoder, limits=Limits(30))
    monkeypatch.setattr(prepare, "_build", lambda *_: pytest.fail("built again"))
    again, same, second = ask(tmp_path, encoder, limits=Limits(30))
    assert same == key
    assert (second.steps, second.dropped) == (report.steps, report.dropped)
    np.testing.assert_array_equal(again.responses.values, first.responses.values)


def test_rows_that_do_not_fit_are_reported(tmp_path, encoder):
    long = example(9, id="long", prompt=[{"role": "user", "content": "fox " * 99}])
    same = example(8, ["It is red " * 9 + "a", "It is red " * 9 + "b"], id="same")
    rows, _, report = ask(tmp_path, encoder, [long, *EXAMPLES, same])
    assert len(rows) == len(EXAMPLES)
    assert report.steps["tokenize"]["in"] == 8
    assert report.steps["tokenize"]["out"] == 6
    assert {d["id"]: d["reason"] for d in report.dropped} == {
        "long": "the prompt fills max_length and leaves no room for a response",
        "same": "the responses do not differ within max_length",
    }


@pytest.mark.parametrize("examples", [[], EXAMPLES])
def test_no_rows_at_all(tmp_path, encoder, examples):
    rows, _, report = ask(tmp_path, encoder, examples, Limits(2))
    assert len(rows) == 0
    assert rows.widths.tolist() == rows.unique.tolist() == []
    assert len(report.dropped) == len(examples)


def test_the_fingerprint_covers_all_that_decides_the_rows(encoder):
    first = EXAMPLES[0]
    variants = [
        fingerprint(EXAMPLES, encoder, LIMITS),
        fingerprint(EXAMPLES, encoder, Limits(41)),
        fingerprint(EXAMPLES, encoder, Limits(40, 40)),
        fingerprint(EXAMPLES[1:], encoder, LIMITS),
        fingerprint(EXAMPLES[::-1], encoder, LIMITS),
        fingerprint(EXAMPLES, Encoder(kinds.llama_style()), LIMITS),
        fingerprint(EXAMPLES, Encoder(encoder.tokenizer, stops=[0]), LIMITS),
    ]
    for change in ({"responses": ["It is 1."]}, {"labels": [0.5]}, {"rewards": [2.0]}, {"weight": 3.0}):
        variants.append(fingerprint([replace(first, **change), *EXAMPLES[1:]], encoder, LIMITS))
    encoder.tokenizer.chat_template += " "
    variants.append(fingerprint(EXAMPLES, encoder, LIMITS))
    assert len(set(variants)) == len(variants)


class Killed(BaseException):
    """Stands for SIGKILL: nothing handles it."""


@pytest.mark.parametrize("moment", ["encoding", "writing", "drops", "renaming"])
def test_a_killed_build_leaves_nothing_that_is_taken_for_good(tmp_path, encoder, monkeypatch, moment):
    def killed(*_, **__):
        raise Killed

    write = token_rows.write

    def half(folder, *rest):
        write(folder, *rest)
        next(folder.glob("*.arrow")).write_bytes(b"half")
        raise Killed

    target = {
        "encoding": (Encoder, "__call__", killed),
        "writing": (token_rows, "write", half),
        "drops": (prepare.json, "dumps", killed),
        "renaming": (os, "replace", killed),
    }[moment]
    key = fingerprint(EXAMPLES, encoder, LIMITS)
    monkeypatch.setattr(prepare, "fingerprint", lambda *_: key)
    monkeypatch.setattr(*target)
    with pytest.raises(Killed):
        ask(tmp_path, encoder)
    assert not (tmp_path / "tokens" / key).exists()
    monkeypatch.undo()
    assert len(ask(tmp_path, encoder)[0]) == len(EXAMPLES)


def test_taking_some_rows(tmp_path, encoder):
    rows = ask(tmp_path, encoder)[0]
    rows = rows.with_cached({"ref_logps": -np.arange(len(rows.responses), dtype=float)})
    some = rows.take([4, 0, 2])
    assert some.ids == ["row4", "row0", "row2"]
    for new, old in enumerate([4, 0, 2]):
        assert some.prompts[new].tolist() == rows.prompts[old].tolist()
        assert some.labels[new].tolist() == rows.labels[old].tolist()
        assert some.weights[new] == rows.weights[old]
        pairs = zip(some.members[new], rows.members[old], strict=True)
        for m, n in pairs:
            assert some.responses[m].tolist() == rows.responses[n].tolist()
            assert some.cached["ref_logps"][m] == rows.cached["ref_logps"][n]
    assert len(rows.take([])) == 0
