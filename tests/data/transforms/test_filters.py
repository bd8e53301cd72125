"""Filters: what stays, what a second pass changes, and what they refuse."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignlab.data.encoding.id_turns import id_turns
from alignlab.data.reading.rows import Drop
from alignlab.data.transforms.filters import (
    ends_as_a_text,
    filter_gap,
    filter_length_ratio,
    filter_no_eos,
    filter_repetition,
    filter_ties,
    repeated_share,
)
from alignlab.data.transforms.preference_strength import filter_preference_strength
from alignlab.data.transforms.score_filters import filter_difficulty, filter_reference_outliers, standardized
from alignlab.errors import ConfigError, DataError
from tests.data.transforms.hand_made import kept, pairs_of, row, sifted, tokenized, vector

some_labels = st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=1, max_size=5)
some_text = st.text(alphabet="ab c.!,\n", min_size=1, max_size=60)
LONG = "one two three four five six seven eight nine"


def test_gap_bounds_include_their_ends():
    example = row(labels=[0.5, 0.75, 0.25], responses="abc", rewards=[3.0, 1.0, 5.0])
    assert kept(filter_gap, example, low=0.5)
    assert kept(filter_gap, example, high=0.5)
    assert not kept(filter_gap, example, low=0.51)
    assert not kept(filter_gap, example, high=0.49)
    assert kept(filter_gap, example, by="rewards", low=4.0, high=4.0)  # best and worst by label: 1 and 5
    assert not kept(filter_gap, row(labels=[1.0], responses="a"), low=0.1)


@given(labels=some_labels)
def test_ties_against_counting(labels):
    example = row(labels=labels, responses=["x"] * len(labels))
    assert kept(filter_ties, example, ties="top") == (labels.count(max(labels)) == 1)
    assert kept(filter_ties, example, ties="any") == (len(set(labels)) == len(labels))


def test_length_ratio_counts_characters_of_the_model():
    assert kept(filter_length_ratio, row(responses=["  1234 ", "12"]), low=2.0, high=2.0)
    assert not kept(filter_length_ratio, row(responses=["1234", "12"]), high=1.9)
    assert not kept(filter_length_ratio, row(responses=["12", "1234"]), low=0.6)
    turns = [
        {"role": "assistant", "content": "1"},
        {"role": "tool", "content": "a long result"},
        {"role": "assistant", "content": "2"},
    ]
    assert kept(filter_length_ratio, row(responses=[turns, "123"]), low=1.0, high=1.0)  # 1, line break, 2


def test_repetition_vector():
    case = vector("F6_diversity")
    for n in (2, 3, 4):
        found = 100 * repeated_share(case["inputs"]["tokens"], n)
        assert found == pytest.approx(case["outputs"][f"rep{n}"], abs=1e-9)


def test_repetition_of_any_or_the_best():
    loop = "and so " * 10
    assert not kept(filter_repetition, row(responses=[LONG, loop]))
    assert kept(filter_repetition, row(responses=[LONG, loop]), of="best")
    assert not kept(filter_repetition, row(responses=[loop, LONG]), of="best")
    assert kept(filter_repetition, row(responses=[loop, LONG]), high=1.0)
    assert kept(filter_repetition, row(responses=["so so", LONG]))  # shorter than an n-gram
    assert repeated_share([], 4) == 0


@pytest.mark.parametrize(
    "end", [".", "!", "?", '."', ".)", "”", "»", "`", "。", "؟", "।", "|", " 95%", "🙂", "❤️", "… \n"]
)
def test_ends_of_texts(end):
    assert ends_as_a_text(LONG + end)
    assert kept(filter_no_eos, row(responses=[LONG + end, "no"]))


@pytest.mark.parametrize("end", ["", ",", ":", ";", " -", " 12", " (", "“", " \n"])
def test_ends_of_texts_cut_off(end):
    assert not ends_as_a_text(LONG + end)
    assert not kept(filter_no_eos, row(responses=[LONG + end, "no"]))
    assert kept(filter_no_eos, row(responses=[LONG + end, "no"]), min_words=20)
    assert not kept(filter_no_eos, row(responses=["no", LONG + end]))
    assert kept(filter_no_eos, row(responses=["no", LONG + end]), of="best")


def test_token_ids_have_no_sentence_ends():
    with pytest.raises(DataError, match="row ids holds token ids"):
        kept(filter_no_eos, row(responses=[id_turns([1]), id_turns([2])], id="ids"))


FILTERS = {
    filter_gap: {"low": 0.3},
    filter_ties: {},
    filter_length_ratio: {"low": 0.5, "high": 2.0},
    filter_repetition: {"n": 2},
    filter_no_eos: {"min_words": 2},
}


@pytest.mark.parametrize("step", FILTERS, ids=lambda step: step.__name__)
@given(rows=st.lists(st.tuples(some_text, some_text, st.sampled_from([0.0, 0.25, 1.0])), max_size=8))
def test_filtering_twice_is_filtering_once(step, rows):
    examples = [row(responses=[a, b], labels=[0.5, c]) for a, b, c in rows]
    once = [e for e in examples if kept(step, e, **FILTERS[step])]
    assert [e for e in once if kept(step, e, **FILTERS[step])] == once


numbers = st.lists(st.integers(-8, 8).map(float), min_size=1, max_size=12)


@given(margins=numbers, bound=st.integers(-8, 8).map(float))
def test_filters_by_value_change_nothing_the_second_time(margins, bound):
    examples = [row(id=str(i), rewards=[m, 0.0]) for i, m in enumerate(margins)]
    once = sifted(filter_preference_strength, examples, unit="score", low=bound)
    assert [e.rewards[0] for e in once] == [m for m in margins if m >= bound]
    assert sifted(filter_preference_strength, once, unit="score", low=bound) == once

    selection = filter_difficulty(pairs_of(margins), high=bound)
    assert [margins[i] for i in selection.keep] == [m for m in margins if -m <= bound]
    again = filter_difficulty(pairs_of([margins[i] for i in selection.keep]), high=bound)
    assert list(again.keep) == list(range(len(selection.keep)))


def test_difficulty_vector():
    case = vector("D1_ranking")
    best, worst = case["inputs"]["ref_logp_w"], case["inputs"]["ref_logp_l"]
    rows = tokenized([row(id=str(i)) for i in range(3)], list(zip(best, worst, strict=True)))
    for i, c in enumerate(case["outputs"]["c"]):
        assert i in filter_difficulty(rows, low=c, high=c).keep
        assert i not in filter_difficulty(rows, low=c + 1e-9).keep
    right = [i for i, ranked_rightly in enumerate(case["outputs"]["R_ref"]) if ranked_rightly]
    assert list(filter_difficulty(rows, high=0.0).keep) == right


def test_difficulty_by_quantile():
    rows = pairs_of([5.0, 4.0, 3.0, 2.0, 1.0])
    selection = filter_difficulty(rows, unit="quantile", low=0.25, high=0.75)
    assert list(selection.keep) == [1, 2, 3]
    assert selection.dropped == {0: "difficulty below -4", 4: "difficulty above -2"}


def test_rows_that_have_no_margin():
    with pytest.raises(DataError, match="row lone: no response is worse"):
        filter_difficulty(tokenized([row(responses=["a"], labels=[1.0], id="lone")], [[0.0]]))


def test_preference_strength_vector():
    case = vector("A15_pref_strength")
    margins, expected = case["inputs"]["diffs_by_rm"], case["outputs"]
    rows = [row(id=str(i), meta={"margins": m}) for i, m in enumerate(margins)]
    for i, mean in enumerate(expected["mu"]):
        near = {"by": "margins", "unit": "score", "low": mean - 1e-9, "high": mean + 1e-9}
        assert sifted(filter_preference_strength, rows, **near) == [rows[i]]
    stays = sifted(filter_preference_strength, rows, by="margins", unit="score", low=0.0)
    assert [e.id for e in stays] == [str(i) for i, flip in enumerate(expected["flip"]) if not flip]
    stays = sifted(filter_preference_strength, rows, by="margins", low=0.5)
    assert [int(e.id) for e in stays] == sorted(expected["ascending"][2:])


def test_preference_strength_by_quantile():
    rows = [row(id=str(i), rewards=[float(i), 0.0], labels=[0.1 * i + 0.05, 0.0]) for i in range(11)]
    for by in ("rewards", "labels"):
        stays = sifted(filter_preference_strength, rows, by=by, low=0.2, high=0.9)
        assert [e.id for e in stays] == [str(i) for i in range(2, 10)]
    assert sifted(filter_preference_strength, []) == []


@pytest.mark.parametrize("margins", [None, [], ["1"], [math.nan], 3.0])
def test_margins_that_are_none(margins):
    with pytest.raises(DataError, match=r"row row: meta\.margins is"):
        sifted(filter_preference_strength, [row(meta={"margins": margins})], by="margins")


def test_outliers_by_token():
    lengths = [[10, 5]] * 9
    logps = [[-10.0 - i, -10.0] for i in range(8)] + [[-10.0, -200.0]]
    rows = tokenized([row(id=str(i)) for i in range(9)], logps, lengths)
    for of, dropped in {"best": {}, "worst": {}, "both": {}}.items():  # no spread among the worst
        assert filter_reference_outliers(rows, of=of).dropped == dropped
    zscore = filter_reference_outliers(rows, method="zscore", threshold=2.5)
    assert zscore.dropped == {8: "log-prob of the worst response is an outlier"}
    assert list(zscore.keep) == list(range(8))
    assert not filter_reference_outliers(rows, method="zscore", threshold=2.5, of="best").dropped


@given(values=numbers)
def test_standardized_against_its_definition(values):
    array = np.array(values)
    z = standardized(array, "zscore")
    if array.std() > 0:
        assert z == pytest.approx((array - array.mean()) / array.std())
    mad = np.median(np.abs(array - np.median(array)))
    expected = 0.6745 * (array - np.median(array)) / mad if mad > 0 else np.zeros(len(array))
    assert standardized(array, "mad") == pytest.approx(expected, rel=1e-4)


@given(margins=numbers, method=st.sampled_from(["mad", "zscore"]), threshold=st.sampled_from([0.5, 1.0, 3.0]))
def test_a_selection_accounts_for_every_row(margins, method, threshold):
    selection = filter_reference_outliers(pairs_of(margins), method=method, threshold=threshold)
    assert sorted([*selection.keep, *selection.dropped]) == list(range(len(margins)))
    assert list(selection.keep) == sorted(selection.keep)
    assert not selection.ordered


REFUSED = [
    (filter_gap, {"by": "reward"}, "pipeline.filter_gap.by=reward: did you mean 'rewards'?"),
    (filter_gap, {"low": 2.0, "high": 1.0}, "pipeline.filter_gap.low=2.0 is above high=1.0"),
    (filter_ties, {"ties": "tops"}, "pipeline.filter_ties.ties=tops: did you mean 'top'?"),
    (filter_length_ratio, {"low": 3.0, "high": 2.0}, "pipeline.filter_length_ratio.low=3.0"),
    (filter_repetition, {"of": "bets"}, "pipeline.filter_repetition.of=bets: did you mean 'best'?"),
    (filter_no_eos, {"of": "all"}, "pipeline.filter_no_eos.of=all"),
]


@pytest.mark.parametrize(("step", "options", "message"), REFUSED)
def test_options_that_cannot_work(step, options, message):
    with pytest.raises(ConfigError) as error:
        list(step(row(), **options))
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("step", "options", "message"),
    [
        (filter_difficulty, {"unit": "nat"}, "pipeline.filter_difficulty.unit=nat: did you mean 'nats'?"),
        (
            filter_difficulty,
            {"unit": "quantile", "low": 2.0},
            "pipeline.filter_difficulty.low=2.0: with unit=quantile",
        ),
        (filter_reference_outliers, {"method": "z"}, "pipeline.filter_reference_outliers.method=z"),
        (filter_reference_outliers, {"of": "top"}, "pipeline.filter_reference_outliers.of=top"),
    ],
)
def test_options_of_score_filters_that_cannot_work(step, options, message):
    with pytest.raises(ConfigError) as error:
        step(tokenized([row()]), **options)
    assert message in str(error.value)


def test_rows_without_what_a_filter_reads():
    with pytest.raises(DataError, match=r"row row has no rewards: use pipeline\.filter_gap\.by=labels"):
        kept(filter_gap, row(), by="rewards")
    with pytest.raises(DataError, match=r"use pipeline\.filter_preference_strength\.by=labels"):
        list(filter_preference_strength([row()]))
    with pytest.raises(
        ConfigError, match=r"pipeline\.filter_preference_strength\.high=7\.0: with unit=quantile"
    ):
        list(filter_preference_strength([row()], high=7.0))


def test_a_drop_says_why():
    with pytest.raises(Drop, match="gap of labels below 2"):
        list(filter_gap(row(), low=2.0))
