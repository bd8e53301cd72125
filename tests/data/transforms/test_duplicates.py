"""Duplicates and near duplicates against comparing every row with every other."""

import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignlab.data.reading.rows import Dropped
from alignlab.data.transforms.duplicates import filter_duplicates
from alignlab.data.transforms.near_duplicates import (
    band_width,
    filter_near_duplicates,
    jaccard,
    minhash,
    shingles,
)
from alignlab.data.transforms.texts import words
from alignlab.errors import ConfigError
from tests.data.transforms.hand_made import row, sifted

few_texts = st.sampled_from(["a", "A ", "a  b", "a\nb", "b", "B a"])
few_rows = st.lists(
    st.tuples(few_texts, few_texts, few_texts, st.sampled_from([(1.0, 0.0), (0.0, 1.0)])), max_size=10
)


def made(rows):
    return [row(p, [a, b], labels, id=str(i)) for i, (p, a, b, labels) in enumerate(rows)]


def plain(text):
    return " ".join(text.lower().split())


def said(example, by):
    """What of a row is compared, in another way than the filter's."""
    prompt = plain(example.prompt[0]["content"])
    better, worse = example.responses if example.labels[0] > example.labels[1] else example.responses[::-1]
    return {"prompt": prompt, "responses": (plain(better), plain(worse))}.get(
        by, (prompt, plain(better), plain(worse))
    )


@given(rows=few_rows, by=st.sampled_from(["row", "prompt", "responses"]))
def test_the_first_of_equals_stays(rows, by):
    examples = made(rows)
    first = {said(example, by): example for example in reversed(examples)}
    stays = sifted(filter_duplicates, examples, by=by)
    assert [e.id for e in stays] == sorted((e.id for e in first.values()), key=int)
    assert sifted(filter_duplicates, stays, by=by) == stays


def test_what_makes_rows_differ():
    pair = row("x", ["yes", "no"])
    for other in (
        row("x", ["no", "yes"]),
        replace(pair, prompt=[{"role": "system", "content": "x"}, {"role": "user", "content": "x"}]),
        row("x", ["ye s", "no"]),
        replace(pair, meta={"prompts": [row("x").prompt, row("z").prompt]}),
    ):
        assert len(sifted(filter_duplicates, [pair, other])) == 2
    swapped = row("x", ["no", "yes"], labels=[0.2, 0.7])
    assert len(sifted(filter_duplicates, [pair, swapped])) == 1
    turns = replace(pair, responses=[[{"role": "assistant", "content": " YES"}], "no"])
    assert len(sifted(filter_duplicates, [pair, turns])) == 1


def test_dropped_rows_are_named():
    (_, dropped) = filter_duplicates([row(id="a"), row(id="b")])
    assert dropped == Dropped("b", "duplicate of an earlier row, by row")


def exact(some, others, n):
    """Jaccard index by sets of tuples."""

    def runs(text):
        found = words(text) or [text.strip()]
        return {tuple(found[i : i + n]) for i in range(max(1, len(found) - n + 1))}

    return len(runs(some) & runs(others)) / len(runs(some) | runs(others))


sentences = st.lists(st.sampled_from("abcde"), min_size=1, max_size=12).map(" ".join)


@given(a=sentences, b=sentences, n=st.integers(1, 4))
def test_jaccard_of_hashes_is_that_of_the_words(a, b, n):
    assert jaccard(shingles(a, n), shingles(b, n)) == exact(a, b, n)


@given(
    texts=st.lists(sentences, max_size=12),
    threshold=st.sampled_from([0.3, 0.5, 0.8, 1.0]),
    seed=st.integers(0, 5),
)
def test_near_duplicates_are_near_and_equals_never_stay(texts, threshold, seed):
    examples = [row(text, id=str(i)) for i, text in enumerate(texts)]
    options = {"threshold": threshold, "n": 2, "seed": seed}
    stays = sifted(filter_near_duplicates, examples, **options)
    names = {e.id for e in stays}
    for i, text in enumerate(texts):
        earlier = [exact(text, texts[j], 2) for j in range(i) if str(j) in names]
        assert str(i) in names or max(earlier) >= threshold
        assert str(i) not in names or max(earlier, default=0) < 1
    assert sifted(filter_near_duplicates, stays, **options) == stays


def changed(text, draw, places):
    """The text with that many of its words replaced."""
    found = text.split()
    for place in draw.sample(range(len(found)), places):
        found[place] = f"new{draw.random()}".replace(".", "")
    return " ".join(found)


def test_pairs_at_the_threshold_are_found():
    draw = random.Random(0)
    originals = [" ".join(f"w{draw.randrange(10**6)}" for _ in range(100)) for _ in range(300)]
    copies = [changed(text, draw, 3) for text in originals]
    alike = [exact(a, b, 3) >= 0.8 for a, b in zip(originals, copies, strict=True)]
    assert sum(alike) > 250
    rows = [row(text, id=str(i)) for i, text in enumerate(originals + copies)]
    names = {int(e.id) for e in sifted(filter_near_duplicates, rows)}
    assert set(range(300)) <= names
    found = [300 + i not in names for i in range(300)]
    assert all(near for near, hit in zip(alike, found, strict=True) if hit)
    assert sum(found) >= 0.97 * sum(alike)


def test_minhash_agrees_as_often_as_sets_overlap():
    draws = np.random.default_rng(1).integers(2**64, size=(2, 4000), dtype=np.uint64)
    base = " ".join(f"word{i}" for i in range(60))
    other = " ".join(f"word{i}" for i in range(20, 80))
    a, b = shingles(base, 1), shingles(other, 1)
    assert jaccard(a, b) == 0.5
    assert np.mean(minhash(a, draws) == minhash(b, draws)) == pytest.approx(0.5, abs=0.04)


@pytest.mark.parametrize("threshold", [0.05, 0.3, 0.5, 0.8, 0.95, 1.0])
def test_bands_are_as_wide_as_the_recall_allows(threshold):
    def recall(width):
        return 1 - (1 - threshold**width) ** (64 // width)

    width = band_width(threshold, 64)
    assert width == 1 or recall(width) >= 0.99
    assert all(recall(wider) < 0.99 for wider in range(width + 1, 65))


def test_what_is_compared():
    one, two = (
        row("same words here", ["yes sir", "no"], id="1"),
        row("Same words, here!", ["other", "answers"], id="2"),
    )
    assert len(sifted(filter_near_duplicates, [one, two])) == 1
    assert len(sifted(filter_near_duplicates, [one, two], by="row")) == 2
    chinese = [row(text, id=text) for text in ("今天天气怎么样呢我想知道", "今天天气怎么样呢我想知", "你好")]
    assert [e.id for e in sifted(filter_near_duplicates, chinese)] == [chinese[0].id, "你好"]
    assert [e.id for e in sifted(filter_near_duplicates, [row("?!", id="a"), row("?!", id="b")])] == ["a"]


@pytest.mark.parametrize(
    ("step", "options", "message"),
    [
        (filter_duplicates, {"by": "rows"}, "pipeline.filter_duplicates.by=rows: did you mean 'row'?"),
        (filter_near_duplicates, {"by": "response"}, "pipeline.filter_near_duplicates.by=response"),
    ],
)
def test_options_that_cannot_work(step, options, message):
    with pytest.raises(ConfigError) as error:
        list(step([row()], **options))
    assert message in str(error.value)
