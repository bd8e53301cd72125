"""Degraded copies of the best response."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignlab.data.reading.examples import Report, transformed
from alignlab.data.reading.rows import Drop, validate
from alignlab.data.transforms.degrade import degrade
from alignlab.data.transforms.words import STOP_WORDS, WORD
from alignlab.errors import ConfigError
from alignlab.lab.world import examples, gold
from alignlab.types import Example

TEXT = "The quick fox jumps over the lazy dog, and the fox barks."


def rated(*responses, labels=None, **rest):
    labels = labels or [1.0, *[0.25] * (len(responses) - 1)]
    return Example([{"role": "user", "content": "x"}], list(responses), labels, **rest)


def made(example, **settings):
    (result,) = degrade(example, **settings)
    return [r if isinstance(r, str) else r[-1]["content"] for r in result.responses], result.labels


def words(text):
    return [word.lower() for word in WORD.findall(text)]


def test_copies_lack_growing_shares():
    """Six key words: two, three, and five of them go, the longest first, of equals the rarer."""
    texts, labels = made(rated(TEXT, "no"))
    assert texts == [
        TEXT,
        "The fox over the lazy dog, and the fox barks.",
        "The fox over the lazy dog, and the fox.",
        "The fox over the, and the fox.",
    ]
    assert labels == [1.0, 0.75, 0.5, 0.25]


some_words = st.lists(
    st.sampled_from(["the", "and", "fox", "river", "it", "mountains", "isn't", "7", "über"]), max_size=12
)


@given(text=some_words.map(" ".join), levels=st.integers(2, 6), choose=st.sampled_from(["longest", "random"]))
def test_copies_of_any_text(text, levels, choose):
    example = rated(text or "?", labels=[0.8], id="row")
    try:
        texts, labels = made(example, levels=levels, choose=choose, seed=3)
    except Drop:
        assert set(words(text)) <= STOP_WORDS or len(set(words(text))) == 1
        return
    assert made(example, levels=levels, choose=choose, seed=3) == (texts, labels)
    assert 2 <= len(texts) <= levels
    assert labels[0] == 0.8
    assert labels == sorted(set(labels), reverse=True)
    assert labels[-1] > 0
    for copy, before in zip(texts[1:], texts, strict=False):
        assert len(words(copy)) < len(words(before))
        lost = set(words(before)) - set(words(copy))
        assert lost
        assert not lost & STOP_WORDS
        assert copy.strip()
        assert not re.search(r"  ", copy)


def test_random_words_depend_on_seed_and_row():
    row = rated(TEXT, id="a")
    drawn = {tuple(made(row, choose="random", seed=seed)[0]) for seed in range(20)}
    assert len(drawn) > 5
    assert made(row, choose="random") != made(rated(TEXT, id="b"), choose="random")
    assert made(row) == made(rated(TEXT, id="b"), seed=5)


def test_the_others_may_stay():
    example = rated("no", TEXT, "maybe", labels=[0.1, 0.8, 0.8], rewards=[1.0, 8.0, 8.0])
    assert len(made(example)[0]) == 4
    texts, labels = made(example, keep_others=True)
    assert texts[:3] == ["no", TEXT, "maybe"]
    assert labels == pytest.approx([0.1, 0.8, 0.8, 0.6, 0.4, 0.2])
    (result,) = degrade(example, keep_others=True)
    assert result.rewards is None


def test_only_the_assistant_is_cut():
    turns = [
        {"role": "assistant", "content": "Calling the weather service"},
        {"role": "tool", "content": "weather service: sunny"},
        {"role": "assistant", "content": "Sunny weather"},
    ]
    (result,) = degrade(rated(turns))
    cut, tool, kept = (turn["content"] for turn in result.responses[-1])
    assert (cut, tool, kept) == ("the", "weather service: sunny", "Sunny")
    assert result.responses[0] == turns


@pytest.mark.parametrize(
    ("example", "reason"),
    [
        (rated("It is."), "the best response has no key words to remove"),
        (rated("Fox!"), "the best response has no key words to remove"),
        (rated(TEXT, labels=[0.0]), "the best label is not above 0"),
    ],
)
def test_rows_that_cannot_be_degraded(example, reason):
    with pytest.raises(Drop, match=reason):
        list(degrade(example))


@pytest.mark.parametrize(("settings", "message"), [({"choose": "longst"}, "did you mean 'longest'?")])
def test_settings_that_cannot_work(settings, message):
    with pytest.raises(ConfigError) as error:
        list(degrade(rated(TEXT), **settings))
    assert message in str(error.value)


def test_copies_of_the_lab_are_worth_less():
    """The exact reward falls from the original to the last copy, nearly always."""
    report, falls = Report(), []
    for row in transformed(examples(split="train", size=100), "degrade", degrade, report):
        assert validate(row) == row
        prompt = row.prompt[-1]["content"]
        values = [gold(prompt, response[0]["content"]).quality for response in row.responses]
        falls.append(values[0] > values[-1])
    assert len(falls) > 90
    assert sum(falls) > 0.9 * len(falls)
