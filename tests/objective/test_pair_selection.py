"""Pair selection against plain loops, on ragged lists with ties."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from alignlab.objective.pair_selection import CHOICES, select


def real(where):
    return [i for i, there in enumerate(where) if there]


def loop_all(labels, where):
    return {(i, j) for i in real(where) for j in real(where) if labels[i] > labels[j]}


def loop_best_rest(labels, where):
    best = max(real(where), key=lambda i: labels[i], default=None)  # max keeps the first of equals
    return {(i, j) for i, j in loop_all(labels, where) if i == best}


def loop_best_worst(labels, where):
    worst = min(real(where), key=lambda i: labels[i], default=None)  # so does min
    return {(i, j) for i, j in loop_best_rest(labels, where) if j == worst}


def loop_adjacent(labels, where):
    levels = sorted({labels[i] for i in real(where)})
    step = set(zip(levels[1:], levels, strict=False))
    return {(i, j) for i, j in loop_all(labels, where) if (labels[i], labels[j]) in step}


def met(left, labels):
    """The pairs of one round among those that are left, and who goes on."""
    pairs, on = set(), []
    for place in range(0, len(left), 2):
        two = left[place : place + 2]
        best = max(two, key=lambda i: labels[i])
        pairs |= {(best, i) for i in two if labels[i] < labels[best]}
        on.append(best)
    return pairs, on


def loop_first_round(labels, where):
    return met(real(where), labels)[0]


def loop_tournament(labels, where):
    pairs, left = set(), real(where)
    while len(left) > 1:
        now, left = met(left, labels)
        pairs |= now
    return pairs


LOOPS = {
    "all": loop_all,
    "best_rest": loop_best_rest,
    "best_worst": loop_best_worst,
    "adjacent": loop_adjacent,
    "first_round": loop_first_round,
    "tournament": loop_tournament,
}


@st.composite
def ragged_lists(draw):
    rows, width = draw(st.integers(1, 3)), draw(st.integers(1, 5))
    label = st.sampled_from([-1.0, 0.0, 0.5, 1.0])

    def grid(cell):
        return draw(st.lists(st.lists(cell, min_size=width, max_size=width), min_size=rows, max_size=rows))

    return grid(label), grid(st.booleans())


def found(choice, labels, where):
    pairs = select(choice)(torch.tensor(labels), torch.tensor(where))
    return list(zip(pairs.list.tolist(), pairs.chosen.tolist(), pairs.rejected.tolist(), strict=True))


def test_every_choice_has_its_loop():
    assert set(LOOPS) == set(CHOICES)


@pytest.mark.parametrize("choice", CHOICES)
@given(lists=ragged_lists())
@settings(max_examples=80, deadline=None)
def test_selection_equals_the_loop(choice, lists):
    labels, where = lists
    expected = [(b, i, j) for b in range(len(labels)) for i, j in LOOPS[choice](labels[b], where[b])]
    assert sorted(found(choice, labels, where)) == sorted(expected)


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("best_worst", [(0, 1, 3)]),
        ("best_rest", [(0, 1, 0), (0, 1, 3), (0, 1, 4)]),
        ("adjacent", [(0, 0, 3), (0, 0, 4), (0, 1, 0), (0, 2, 0)]),
        ("first_round", [(0, 1, 0), (0, 2, 3)]),
        ("tournament", [(0, 1, 0), (0, 1, 4), (0, 2, 3)]),
        ("all", [(0, 0, 3), (0, 0, 4), (0, 1, 0), (0, 1, 3), (0, 1, 4), (0, 2, 0), (0, 2, 3), (0, 2, 4)]),
    ],
)
def test_a_list_with_ties_by_hand(choice, expected):
    labels = [[0.5, 0.9, 0.9, 0.1, 0.1, 2.0]]
    where = [[True, True, True, True, True, False]]
    assert sorted(found(choice, labels, where)) == expected


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("absent", [float("inf"), -float("inf"), 7.0, -7.0])
def test_absent_responses_never_pair(choice, absent):
    labels = [[absent, 0.2, 0.8]]
    assert found(choice, labels, [[False, True, True]]) == [(0, 2, 1)]


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize(
    ("labels", "where"),
    [
        ([[0.5, 0.5, 0.5]], [[True] * 3]),
        ([[0.1, 0.5, 0.9]], [[False] * 3]),
        ([[0.1, 0.5, 0.9]], [[False, True, False]]),
    ],
)
def test_nothing_to_compare_gives_no_pair(choice, labels, where):
    assert found(choice, labels, where) == []
