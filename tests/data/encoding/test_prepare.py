"""Tokenized rows on disk: whole or not there, and another fingerprint for anything that changes them."""

import copy
import os
from dataclasses import replace

import numpy as np
import pytest

from alignlab.data.batching.batches import collate
from alignlab.data.encoding import prepare, token_index
from alignlab.data.encoding.prepare import fingerprint, tokenized
from alignlab.data.encoding.tokenize import Encoder, Limits, truncate
from alignlab.data.reading.examples import Report
from alignlab.data.reading.rows import validate
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
        "meta": {"text": "漢", "odd": {1, 2} and 3},
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
    assert list(rows.ids) == [e.id for e in EXAMPLES]
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


@pytest.mark.parametrize("moment", ["encoding", "writing", "closing", "drops", "renaming"])
def test_a_killed_build_leaves_nothing_that_is_taken_for_good(tmp_path, encoder, monkeypatch, moment):
    def killed(*_, **__):
        raise Killed

    def half(writer, rows):
        add(writer, rows)
        raise Killed

    add = token_index.Writer.add
    target = {
        "encoding": (Encoder, "stream", killed),
        "writing": (token_index.Writer, "add", half),
        "closing": (token_index, "_hash", killed),
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


def scored(rows):
    return rows.with_cached({"ref_logps": -np.arange(len(rows.responses), dtype=float)})


def same(some, rows, picks):
    """`some` are the rows at those places."""
    assert some.ids[:] == [rows.ids[i] for i in picks]
    np.testing.assert_array_equal(some.widths, rows.widths[picks])
    np.testing.assert_array_equal(some.unique, rows.unique[picks])
    np.testing.assert_array_equal(some.highest, rows.highest[picks])
    for new, old in enumerate(picks):
        assert some.prompts[new].tolist() == rows.prompts[old].tolist()
        assert some.labels[new].tolist() == rows.labels[old].tolist()
        assert some.weights[new] == rows.weights[old]
        assert some.messages(new) == rows.messages(old)
        for m, n in zip(some.members[new], rows.members[old], strict=True):
            assert some.responses[m].tolist() == rows.responses[n].tolist()
            assert some.cached["ref_logps"][m] == rows.cached["ref_logps"][n]
    every = [m for i in range(len(some)) for m in some.members[i]]
    assert every == list(range(len(some.responses)))


@pytest.mark.parametrize("picks", [[4, 0, 2], [5], [], [3, 3], [0, 1, 2, 3, 4, 5], [1, 2, 3, 4, 5]])
def test_taking_some_rows(tmp_path, encoder, picks):
    rows = scored(ask(tmp_path, encoder)[0])
    some = rows.take(picks)
    same(some, rows, picks)
    assert some.responses.values is rows.responses.values  # no copy
    if picks:
        again = [0, len(picks) - 1]
        same(some.take(again), rows, [picks[i] for i in again])


def test_the_hash_of_tokens_covers_tokens_and_nothing_else(tmp_path, encoder):
    rows = ask(tmp_path, encoder)[0]
    other = [replace(e, labels=[v + 1 for v in e.labels], id=f"{e.id}x", weight=2.0) for e in EXAMPLES]
    assert ask(tmp_path, encoder, other)[0].tokens_hash == rows.tokens_hash
    moved = [*EXAMPLES[:-1], replace(EXAMPLES[-1], responses=EXAMPLES[-1].responses[::-1])]
    hashes = [
        rows.tokens_hash,
        ask(tmp_path, encoder, moved)[0].tokens_hash,
        ask(tmp_path, encoder, EXAMPLES[::-1])[0].tokens_hash,
        ask(tmp_path, encoder, EXAMPLES[:-1])[0].tokens_hash,
        ask(tmp_path, encoder, limits=Limits(27))[0].tokens_hash,
        rows.take([0, 1]).tokens_hash,
        rows.take([1, 0]).tokens_hash,
    ]
    assert len(set(hashes)) == len(hashes)
    assert rows.take(range(6)).tokens_hash == rows.tokens_hash
    assert rows.take([2, 1]).tokens_hash == ask(tmp_path, encoder, other)[0].take([2, 1]).tokens_hash


def test_rows_do_not_depend_on_the_chunks_they_came_in(tmp_path, encoder, monkeypatch):
    whole = ask(tmp_path / "a", encoder)[0]
    monkeypatch.setattr(prepare, "CHUNK", 2)
    parted = ask(tmp_path / "b", encoder)[0]
    assert parted.tokens_hash == whole.tokens_hash
    same(scored(parted), scored(whole), list(range(6)))


class Table(list):
    """Examples that know their fingerprint."""

    fingerprint = "made so"


def test_examples_with_a_fingerprint_are_not_read_for_the_key(tmp_path, encoder):
    rows, key, _ = ask(tmp_path, encoder, Table(EXAMPLES))
    others = Table(EXAMPLES[::-1])
    again, same_key, _ = ask(tmp_path, encoder, others)
    assert (same_key, again.tokens_hash) == (key, rows.tokens_hash)
    others.fingerprint = "made otherwise"
    assert ask(tmp_path, encoder, others)[1] != key


def test_dropped_rows_do_not_shift_the_texts(tmp_path, encoder):
    long = example(9, id="long", prompt=[{"role": "user", "content": "fox " * 99}])
    rows = ask(tmp_path, encoder, [EXAMPLES[0], long, EXAMPLES[1]])[0]
    assert rows.places.tolist() == [0, 2]
    assert (rows.ids[1], rows.messages(1)) == (EXAMPLES[1].id, EXAMPLES[1].prompt)


def several(i, prompts, responses):
    asked = [[{"role": "user", "content": text}] for text in prompts]
    return example(i, responses, prompt=asked[0], meta={"prompts": asked})


def test_responses_with_a_prompt_each(tmp_path, encoder):
    joint = several(7, ["fox", "the mice eat it"], ["red", "It is red."])
    mixed = [EXAMPLES[1], joint, EXAMPLES[2]]
    rows, _, _ = ask(tmp_path, encoder, mixed)
    alone, _, _ = ask(
        tmp_path,
        encoder,
        [
            example(k, [r], prompt=p)
            for k, (p, r) in enumerate(zip(joint.meta["prompts"], ["red", "It is red."], strict=True))
        ],
    )
    assert [(p.tolist(), m.tolist()) for p, m in rows.parts(0)] == [
        (rows.prompts[0].tolist(), rows.members[0].tolist())
    ]
    for (prompt, members), one in zip(rows.parts(1), range(2), strict=True):
        assert prompt.tolist() == alone.prompts[one].tolist()
        assert [rows.responses[m].tolist() for m in members] == [alone.responses[one].tolist()]
    assert rows.widths[1] == alone.widths.max()
    assert rows.unique[1] == alone.unique.sum()
    taken = rows.take([1])
    assert [p.tolist() for p, _ in taken.parts(0)] == [p.tolist() for p, _ in rows.parts(1)]
    swapped = several(7, ["fox", "the mice ate it"], ["red", "It is red."])
    assert ask(tmp_path, encoder, [EXAMPLES[1], swapped, EXAMPLES[2]])[0].tokens_hash != rows.tokens_hash
    batch = collate(rows, [1, 0])
    assert batch.slot.tolist() == [[0, 1], [2, 3]]
    assert batch.prompt[batch.row == 1].unique().tolist() == [1]
    second = batch.tokens[batch.prompt == 1].tolist()
    assert second == [*alone.prompts[1].tolist(), *alone.responses[1].tolist()]
    assert batch.positions[batch.prompt == 1].tolist() == list(range(len(second)))
