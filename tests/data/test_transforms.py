"""Pipeline steps against brute force."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignlab.data.rows import Drop
from alignlab.data.transforms.pairs import CHOICES, pairs
from alignlab.data.transforms.ranked import ranked
from alignlab.errors import ConfigError
from alignlab.types import Example

# Few distinct labels, so that ties are common.
some_labels = st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=1, max_size=6)
LABELS = [0.5, 1.0, 0.0, 0.5, 1.0, 0.0]


def rated(labels, **changes):
    """Response i is its number, its reward ten times its label."""
    return Example(
        prompt=[{"role": "user", "content": "x"}],
        responses=[str(i) for i in range(len(labels))],
        labels=list(labels),
        rewards=[10 * label for label in labels],
        id=changes.get("id", "list"),
    )


def chosen(labels, **options):
    """(better, worse) numbers; None where the list is dropped."""
    try:
        return [tuple(map(int, pair.responses)) for pair in pairs(rated(labels), **options)]
    except Drop as reason:
        assert str(reason) == "all responses have the same label"  # noqa: PT017
        return None


def every_pair(labels):
    numbers = range(len(labels))
    return {(i, j) for i, j in itertools.product(numbers, numbers) if labels[i] > labels[j]}


@given(labels=some_labels)
def test_pairs_against_brute_force(labels):
    everything = every_pair(labels)
    best, worst = labels.index(max(labels)), labels.index(min(labels))
    expected = {
        "all": everything,
        "best_rest": {(i, j) for i, j in everything if i == best},
        "best_worst": {(i, j) for i, j in everything if (i, j) == (best, worst)},
        "adjacent": {
            (i, j) for i, j in everything if not any(labels[i] > other > labels[j] for other in labels)
        },
    }
    for choose, wanted in expected.items():
        found = chosen(labels, choose=choose)
        assert (found is None) == (not everything)
        assert sorted(found or []) == sorted(wanted)
    one = chosen(labels, choose="best_random")
    assert one is None or (len(one) == 1 and one[0] in expected["best_rest"])


def test_a_pair_keeps_what_belongs_to_its_responses():
    for pair in pairs(rated(LABELS), choose="all"):
        better, worse = map(int, pair.responses)
        assert pair.labels == [LABELS[better], LABELS[worse]]
        assert pair.rewards == [10 * LABELS[better], 10 * LABELS[worse]]
        assert pair.id == f"list/{better}>{worse}"
    unrated = Example(prompt=[], responses=["a", "b"], labels=[0.0, 1.0])
    assert next(iter(pairs(unrated))).rewards is None


def test_a_random_worse_one_depends_on_seed_and_row_alone():
    labels = [1.0, *[0.0] * 9]
    first = [chosen(labels, choose="best_random", seed=seed) for seed in range(20)]
    assert first == [chosen(labels, choose="best_random", seed=seed) for seed in range(20)]
    assert len({pair[0] for pair in first}) > 3
    by_row = {
        tuple(next(iter(pairs(rated(labels, id=str(i)), choose="best_random"))).responses) for i in range(20)
    }
    assert len(by_row) > 3


def test_a_misspelt_choice():
    with pytest.raises(ConfigError, match=r"pipeline.pairs.choose=best_wurst: did you mean 'best_worst'\?"):
        list(pairs(rated(LABELS), choose="best_wurst"))
    assert len(CHOICES) == 5


@given(
    labels=some_labels, k=st.none() | st.integers(2, 5), distinct=st.integers(2, 3), seed=st.integers(0, 9)
)
def test_ranked_lists_keep_the_ends_and_their_labels(labels, k, distinct, seed):
    size = k or len(labels)
    try:
        (made,) = ranked(rated(labels), k=k, min_distinct=distinct, seed=seed)
    except Drop as reason:
        assert str(reason) in (f"fewer than {size} responses", f"fewer than {distinct} distinct labels")  # noqa: PT017
        assert len(labels) < size or len(set(labels)) < distinct
        return
    assert len(labels) >= size
    assert len(set(labels)) >= distinct
    numbers = [int(response) for response in made.responses]
    assert len(set(numbers)) == len(numbers) == size
    assert made.labels == [labels[i] for i in numbers]
    assert made.rewards == [10 * labels[i] for i in numbers]
    assert (max(made.labels), min(made.labels)) == (max(labels), min(labels))


@pytest.mark.parametrize("shuffle", [True, False])
def test_ranked_is_a_function_of_seed_and_row(shuffle):
    def drawn(seed, name="list"):
        (made,) = ranked(rated(LABELS, id=name), k=4, shuffle=shuffle, seed=seed)
        return tuple(map(int, made.responses))

    lists = [drawn(seed) for seed in range(30)]
    assert lists == [drawn(seed) for seed in range(30)]
    assert len(set(lists)) > 3
    assert len({drawn(0, name) for name in "abcdefgh"}) > 2
    if not shuffle:
        assert all(list(found) == sorted(found) for found in lists)
    assert len({found.index(1) for found in lists if 1 in found}) == (4 if shuffle else 2)


def test_minmax_scales_within_the_list():
    (made,) = ranked(rated([2.0, 6.0, 3.0]), labels="minmax", shuffle=False)
    assert made.labels == [0.0, 1.0, 0.25]
    assert made.rewards == [20.0, 60.0, 30.0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 1}, "pipeline.ranked.k=1: a ranked list has at least 2 responses"),
        ({"min_distinct": 1}, "pipeline.ranked.min_distinct=1"),
        ({"labels": "minimax"}, "pipeline.ranked.labels=minimax: did you mean 'minmax'?"),
    ],
)
def test_options_that_cannot_work(options, message):
    with pytest.raises(ConfigError) as error:
        list(ranked(rated(LABELS), **options))
    assert message in str(error.value)
