"""Curriculum over the pairs of rated lists."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignlab.data.reading.rows import Drop
from alignlab.data.transforms.curry import curry, curry_pairs, stages
from alignlab.data.transforms.pairs import pairs
from alignlab.errors import ConfigError, DataError
from tests.data.transforms.hand_made import row, tokenized, vector

some_lists = st.lists(
    st.lists(
        st.tuples(st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.integers(-5, 5)), min_size=2, max_size=6
    ).filter(lambda rated: len({label for label, _ in rated}) > 1),
    min_size=1,
    max_size=6,
)


def made(labels, logps=None):
    """Tokenized pairs of lists; responses are their numbers."""
    examples, scores = [], []
    for i, values in enumerate(labels):
        rated = row(id=f"list{i}", labels=values, responses=[str(k) for k in range(len(values))])
        for pair in curry_pairs(rated):
            examples.append(pair)
            scores.append([logps[i][int(k)] for k in pair.responses] if logps else None)
    return tokenized(examples, scores if logps else None)


def gap(pair, logps=None):
    """Gap of a pair of `made`, by rating or by log-probs."""
    if logps is None:
        return pair.labels[0] - pair.labels[1]
    i = int(pair.meta["curry"]["list"].removeprefix("list"))
    return abs(logps[i][int(pair.responses[0])] - logps[i][int(pair.responses[1])])


def described(pair, logps=None):
    return [*map(int, pair.responses), gap(pair, logps)]


def test_vector_by_rating():
    case = vector("A2_curry_dpo")
    rows = made(case["inputs"]["scores"])
    for stage, expected in enumerate(case["outputs"]["stages_by_score_gap"], 1):
        selection = curry(rows, stage=stage)
        assert [described(rows.examples[i]) for i in selection.keep] == expected
        assert {rows.examples[i].meta["curry"]["rank"] for i in selection.keep} == {stage}


def test_vector_by_reference():
    case = vector("A2_curry_dpo")
    logps = case["inputs"]["ref_logps"]
    for i in (0, 1):
        ranked = case["outputs"][f"prompt{i}_logp_gap_order"]
        distinct = [[4.0, 3.0, 2.0, 1.0]] * 2  # the card's order is over all three pairs, ties or not
        rows = made(distinct, logps)
        for stage, expected in enumerate(ranked, 1):
            kept = [rows.examples[j] for j in curry(rows, by="reference", stage=stage).keep]
            (mine,) = [pair for pair in kept if pair.meta["curry"]["list"] == f"list{i}"]
            assert described(mine, logps) == pytest.approx(expected, abs=1e-9)


@given(labels=st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=1, max_size=6))
def test_pairs_are_best_against_the_rest_the_worst_first(labels):
    rated = row(labels=labels, responses=[str(i) for i in range(len(labels))], meta={"kept": 1})
    if len(set(labels)) == 1:
        with pytest.raises(Drop, match="all responses have the same label"):
            list(curry_pairs(rated))
        return
    found = list(curry_pairs(rated))
    pooled = list(pairs(rated, choose="best_rest"))
    assert Counter(p.id for p in found) == Counter(p.id for p in pooled)
    assert {p.id: (p.responses, p.labels) for p in found} == {p.id: (p.responses, p.labels) for p in pooled}
    gaps = [p.meta["curry"]["gap"] for p in found]
    assert gaps == sorted(gaps, reverse=True)
    assert gaps == [p.labels[0] - p.labels[1] for p in found]
    assert [p.meta["curry"]["rank"] for p in found] == list(range(1, len(found) + 1))
    assert all(p.meta["kept"] == 1 and p.meta["curry"]["list"] == "row" for p in found)


def test_rewards_go_with_their_responses():
    rated = row(labels=[0.2, 1.0, 0.6], responses="abc", rewards=[2.0, 10.0, 6.0])
    assert [(p.responses, p.rewards) for p in curry_pairs(rated)] == [
        (["b", "a"], [10, 2]),
        (["b", "c"], [10, 6]),
    ]


@given(
    lists=some_lists,
    by=st.sampled_from(["rating", "reference"]),
    scope=st.sampled_from(["prompt", "global"]),
    of=st.integers(1, 4),
    reverse=st.booleans(),
)
def test_every_pair_is_in_one_stage_and_gaps_never_grow(lists, by, scope, of, reverse):
    labels = [[label for label, _ in rated] for rated in lists]
    logps = [[float(logp) for _, logp in rated] for rated in lists]
    rows = made(labels, logps)
    options = {"by": by, "scope": scope, "of": of, "reverse": reverse}
    everything = curry(rows, **options)
    assert everything.ordered
    assert sorted(everything.keep) == list(range(len(rows)))
    start, before = 0, {}
    for stage in range(1, of + 1):
        try:
            selection = curry(rows, stage=stage, **options)
        except DataError:
            assert start == len(rows)
            continue
        assert not selection.ordered
        assert sorted([*selection.keep, *selection.dropped]) == list(range(len(rows)))
        stage_rows = everything.keep[start : start + len(selection.keep)]
        assert sorted(stage_rows) == list(selection.keep)
        start += len(selection.keep)
        for i in stage_rows:
            pair = rows.examples[i]
            size = (-1 if reverse else 1) * gap(pair, logps if by == "reference" else None)
            track = "all" if scope == "global" else pair.meta["curry"]["list"]
            assert size <= before.get(track, float("inf"))
            before[track] = size
        if scope == "prompt" and stage < of:
            assert max(Counter(rows.examples[i].meta["curry"]["list"] for i in stage_rows).values()) == 1
    assert start == len(rows)


def test_long_lists_end_in_the_last_stage():
    assert stages([3.0, 2.0, 1.0, 4.0], ["a", "a", "a", "a"], list("wxyz"), of=2) == [[3], [0, 1, 2]]
    assert stages([3.0, 2.0, 1.0, 4.0], ["a", "a", "b", "b"], list("wxyz"), of=2) == [[3, 0], [1, 2]]
    assert stages([3.0, 2.0, 1.0, 4.0], ["a", "a", "b", "b"], list("wxyz"), scope="global", of=2) == [
        [3, 0],
        [1, 2],
    ]
    assert stages([], [], [], scope="global", of=2) == [[], []]
    assert stages([1.0, 1.0], ["a", "b"], ["z", "y"], of=1) == [[1, 0]]


def test_ratings_need_no_scores_and_validation_no_stage():
    rows = made([[1.0, 0.5, 0.2, 0.0]])
    assert list(curry(rows, stage=1).keep) == [0]
    assert list(curry(rows, stage=3, split="validation").keep) == [0, 1, 2]
    assert not curry(rows, split="validation").ordered
    with pytest.raises(AssertionError, match="no scores"):
        curry(rows, by="reference")
    assert list(curry(tokenized([]), stage=2).keep) == []


def test_equal_gaps_go_by_rank():
    rows = made([[1.0, 0.5, 0.5, 0.5]])
    kept = [rows.examples[i] for stage in (1, 2, 3) for i in curry(rows, stage=stage).keep]
    assert [pair.id for pair in kept] == ["list0/0>3", "list0/0>2", "list0/0>1"]
    assert [pair.meta["curry"]["rank"] for pair in kept] == [1, 2, 3]


REFUSED = [
    (ConfigError, {"by": "ratings"}, "pipeline.curry.by=ratings: did you mean 'rating'?"),
    (ConfigError, {"scope": "local"}, "pipeline.curry.scope=local"),
    (ConfigError, {"stage": 4}, "pipeline.curry.stage=4: stages are 1 to 3"),
    (ConfigError, {"stage": 0}, "pipeline.curry.stage=0: stages are 1 to 3"),
    (DataError, {"stage": 3, "scope": "global"}, "stage=3 has no pairs: there are fewer pairs than stages"),
    (
        DataError,
        {"stage": 2},
        "pipeline.curry.stage=2 has no pairs: no list has so many; use pipeline.curry.of=1",
    ),
]


@pytest.mark.parametrize(("kind", "options", "message"), REFUSED)
def test_stages_that_cannot_be(kind, options, message):
    with pytest.raises(kind) as error:
        curry(made([[1.0, 0.0]]), **options)
    assert message in str(error.value)


def test_rows_of_another_step():
    with pytest.raises(DataError, match=r"row plain is no pair of curry_pairs: choose pipeline=\[curry\]"):
        curry(tokenized([row(id="plain")]))
