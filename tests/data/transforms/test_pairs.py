"""Pairs of a list against brute force."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignlab.data.reading.rows import Drop
from alignlab.data.transforms.pairs import pairs
from alignlab.errors import ConfigError
from alignlab.types import Example
from tests.data.transforms.listed import listed, some_labels

LABELS = [0.5, 1.0, 0.0, 0.5, 1.0, 0.0]


def chosen(labels, rewards=None, **options):
    """(better, worse) numbers; None where the list is dropped."""
    made = listed(labels, **({} if rewards is None else {"rewards": rewards}))
    try:
        return [tuple(map(int, pair.responses)) for pair in pairs(made, **options)]
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
    assert chosen(labels, choose="max_margin") == (sorted(expected["best_worst"]) or None)
    one = chosen(labels, choose="best_random")
    assert one is None or (len(one) == 1 and one[0] in expected["best_rest"])


def test_a_pair_keeps_what_belongs_to_its_responses():
    for pair in pairs(listed(LABELS), choose="all"):
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
        tuple(next(iter(pairs(listed(labels, id=str(i)), choose="best_random"))).responses) for i in range(20)
    }
    assert len(by_row) > 3


def test_a_misspelt_choice():
    with pytest.raises(ConfigError, match=r"pipeline.pairs.choose=best_wurst: did you mean 'best_worst'\?"):
        list(pairs(listed(LABELS), choose="best_wurst"))


@given(labels=some_labels, data=st.data())
def test_the_largest_margin_is_of_raw_scores(labels, data):
    """Whatever the scores say, the label says which side is better."""
    scores = st.lists(st.integers(0, 9), min_size=len(labels), max_size=len(labels))
    rewards = data.draw(scores.map(lambda values: list(map(float, values))))
    found = chosen(labels, choose="max_margin", rewards=rewards)
    gaps = {(i, j): rewards[i] - rewards[j] for i, j in every_pair(labels)}
    assert found == ([min(p for p, gap in gaps.items() if gap == max(gaps.values()))] if gaps else None)


def test_responses_keep_prompts_of_their_own():
    asked = [[{"role": "user", "content": text}] for text in ("x", "y", "z")]
    example = listed([0.0, 1.0, 0.5], meta={"prompts": asked, "source": "s", "ratings": [1, 2, 3]})
    (pair,) = pairs(example)
    assert pair.prompt == asked[1]
    assert pair.meta == {"prompts": [asked[1], asked[0]], "source": "s", "ratings": [2, 1]}
