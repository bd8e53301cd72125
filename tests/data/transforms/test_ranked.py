"""Ranked lists of a given size."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignlab.data.reading.rows import Drop
from alignlab.data.transforms.ranked import ranked
from alignlab.errors import ConfigError
from tests.data.transforms.listed import listed, some_labels

LABELS = [0.5, 1.0, 0.0, 0.5, 1.0, 0.0]


@given(
    labels=some_labels, k=st.none() | st.integers(2, 5), distinct=st.integers(2, 3), seed=st.integers(0, 9)
)
def test_ranked_lists_keep_the_ends_and_their_labels(labels, k, distinct, seed):
    size = k or len(labels)
    try:
        (made,) = ranked(listed(labels), k=k, min_distinct=distinct, seed=seed)
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
        (made,) = ranked(listed(LABELS, id=name), k=4, shuffle=shuffle, seed=seed)
        return tuple(map(int, made.responses))

    lists = [drawn(seed) for seed in range(30)]
    assert lists == [drawn(seed) for seed in range(30)]
    assert len(set(lists)) > 3
    assert len({drawn(0, name) for name in "abcdefgh"}) > 2
    if not shuffle:
        assert all(list(found) == sorted(found) for found in lists)
    assert len({found.index(1) for found in lists if 1 in found}) == (4 if shuffle else 2)


def test_minmax_scales_within_the_list():
    (made,) = ranked(listed([2.0, 6.0, 3.0]), labels="minmax", shuffle=False)
    assert made.labels == [0.0, 1.0, 0.25]
    assert made.rewards == [20.0, 60.0, 30.0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ties": "frist"}, "pipeline.ranked.ties=frist: did you mean 'first'?"),
        ({"labels": "minimax"}, "pipeline.ranked.labels=minimax: did you mean 'minmax'?"),
    ],
)
def test_options_that_cannot_work(options, message):
    with pytest.raises(ConfigError) as error:
        list(ranked(listed(LABELS), **options))
    assert message in str(error.value)


@given(labels=some_labels, k=st.none() | st.integers(2, 4), ties=st.sampled_from(["drop", "first"]))
def test_no_ties_are_left(labels, k, ties):
    firsts = [i for i, label in enumerate(labels) if label not in labels[:i]]
    usable = len(firsts) >= max(k or 2, 2) and (ties == "first" or len(firsts) == len(labels))
    try:
        (made,) = ranked(listed(labels), k=k, ties=ties)
    except Drop:
        assert not usable
        return
    assert usable
    numbers = [int(response) for response in made.responses]
    assert set(numbers) <= set(firsts)
    assert len(numbers) == (k or len(firsts))
    assert len(set(made.labels)) == len(made.labels)


def test_the_order_of_a_list_does_not_tell_the_labels():
    """Each place holds the best response about as often as any other."""
    places = [0] * 4
    for i in range(400):
        (made,) = ranked(listed([1.0, 0.7, 0.3, 0.0], id=str(i)))
        places[made.labels.index(1.0)] += 1
    assert min(places) > 60
