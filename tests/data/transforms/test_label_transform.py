"""Labels made anew."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignlab.data.transforms.bradley_terry import fitted
from alignlab.data.transforms.label_transform import label_transform, won
from alignlab.data.transforms.strengths import strengths_of
from alignlab.errors import ConfigError, DataError
from tests.data.transforms.hand_made import row, vector
from tests.data.transforms.listed import listed, outcome

scores = st.lists(st.integers(-4, 4).map(float), min_size=2, max_size=6).filter(lambda s: len(set(s)) > 1)
some_margins = st.lists(st.integers(-3, 3).map(float), min_size=1, max_size=3)
FORMS = ("minmax", "rank", "win_rate", "bradley_terry")


def relabelled(values, to, **options):
    (made,) = label_transform(listed(values), to=to, **options)
    return made.labels


@given(values=scores, to=st.sampled_from(FORMS), temperature=st.none() | st.sampled_from([0.5, 2.0]))
def test_labels_keep_the_order(values, to, temperature):
    labels = relabelled(values, to, temperature=temperature)
    assert all(0 <= label <= 1 for label in labels)
    for i, j in itertools.combinations(range(len(values)), 2):
        assert (labels[i] > labels[j] + 1e-9) == (values[i] > values[j])
        assert (labels[j] > labels[i] + 1e-9) == (values[j] > values[i])


@given(values=scores, to=st.sampled_from(FORMS), order=st.randoms(use_true_random=False))
def test_labels_follow_their_responses(values, to, order):
    places = [*range(len(values))]
    order.shuffle(places)
    labels, moved = relabelled(values, to), relabelled([values[i] for i in places], to)
    assert moved == pytest.approx([labels[i] for i in places], abs=1e-9)


def test_by_hand():
    values = [3.0, 1.0, 1.0, 9.0]
    assert relabelled(values, "minmax") == [0.25, 0.0, 0.0, 1.0]
    assert relabelled(values, "rank") == [0.5, 0.0, 0.0, 1.0]
    assert relabelled(values, "win_rate") == pytest.approx([2 / 3, 1 / 6, 1 / 6, 1.0])
    soft = relabelled([1.0, 0.0], "win_rate", temperature=0.5)
    assert soft == pytest.approx([1 / (1 + math.exp(-2)), 1 / (1 + math.exp(2))])


def test_raw_scores_in_place_of_labels():
    example = listed([1.0, 0.0, 0.5], rewards=[1.0, 3.0, 2.0])
    (made,) = label_transform(example, to="minmax", by="rewards")
    assert made.labels == [0.0, 1.0, 0.5]
    (same,) = label_transform(example, to="minmax")
    assert same.labels == example.labels
    (raw,) = label_transform(example, to="raw")
    assert raw.labels == [1.0, 3.0, 2.0]
    assert outcome(label_transform, replace(example, rewards=None), to="raw") == "no raw scores (rewards)"


@given(
    values=scores,
    temperature=st.none() | st.sampled_from([0.5, 2.0]),
    prior=st.sampled_from([0.01, 0.5, 2.0]),
)
def test_fitted_strengths_are_the_most_probable(values, temperature, prior):
    """The likelihood has no slope there."""
    wins = np.array(won(values, temperature))
    theta = fitted(wins, prior=prior)
    chance = 1 / (1 + np.exp(-(theta[:, None] - theta[None, :])))
    games = wins + wins.T
    slope = (wins - games * chance).sum(axis=1) + prior * (0.5 - 1 / (1 + np.exp(-theta)))
    assert slope == pytest.approx(0, abs=1e-9)


def test_soft_wins_give_the_scores_back():
    """Where each plays by sigmoid of the gap, that gap is the strength; the prior hardly counts."""
    values = [0.5, -0.25, 1.5]
    theta = fitted(won(values, temperature=1.0), prior=1e-6)
    assert theta - theta.mean() == pytest.approx(np.array(values) - np.mean(values), abs=1e-5)


def test_wins_that_were_counted():
    """Two players, 3 games to 1: log 3 apart."""
    theta = fitted([[0, 3], [1, 0]], prior=1e-9)
    assert theta[0] - theta[1] == pytest.approx(math.log(3), abs=1e-6)


def test_vector_of_preference_strength():
    card = vector("A15_pref_strength")
    given, expected = card["inputs"], card["outputs"]
    found = strengths_of(given["diffs_by_rm"], flip_below=given["flip_below"], alpha=given["alpha"])
    assert found.mean == pytest.approx(expected["mu"], abs=1e-9)
    assert found.std == pytest.approx(expected["sigma_population"], abs=1e-9)
    assert found.ascending.tolist() == expected["ascending"]
    assert found.flip.tolist() == expected["flip"]
    assert found.alpha.tolist() == expected["smooth_alpha"]
    for margins, mean, std, is_weak in zip(
        given["diffs_by_rm"], expected["mu"], expected["sigma_population"], expected["flip"], strict=True
    ):
        example = row(meta={"margins": margins})
        (made,) = label_transform(example, to="strength", below=given["flip_below"])
        assert made.labels == ([0.0, 1.0] if is_weak else [1.0, 0.0])
        assert made.meta["flipped"] == is_weak
        assert (made.meta["strength_mean"], made.meta["strength_std"]) == pytest.approx((mean, std), abs=1e-9)
        (smooth,) = label_transform(example, to="strength", weak="smooth", alpha=given["alpha"])
        assert smooth.labels == pytest.approx([0.9, 0.1] if is_weak else [1.0, 0.0])
        assert not smooth.meta["flipped"]


@given(labels=scores, margins=some_margins, below=st.sampled_from([0, 1]))
def test_weak_preferences(labels, margins, below):
    """A flip exchanges best and worst, if and only if the mean is below; twice is not at all."""
    example = listed(labels, meta={"margins": margins})
    is_weak = sum(margins) / len(margins) < below
    (flip,) = label_transform(example, to="strength", below=float(below))
    assert flip.meta["flipped"] == is_weak
    assert (flip.labels != labels) == is_weak
    assert sorted(flip.labels) == sorted(labels)
    if is_weak:
        assert flip.meta["margins"] == [-margin for margin in margins]
        best, worst = labels.index(max(labels)), labels.index(min(labels))
        assert (flip.labels[best], flip.labels[worst]) == (min(labels), max(labels))
        (again,) = label_transform(flip, to="strength", below=100.0)
        if len(labels) == 2:
            assert (again.labels, again.meta["flipped"], again.meta["margins"]) == (labels, False, margins)
    dropped = outcome(label_transform, example, to="strength", weak="drop", below=float(below))
    assert (dropped == f"preference strength below {below}") == is_weak
    (kept,) = label_transform(example, to="strength", weak="keep", below=float(below))
    assert kept.labels == labels


def test_the_gap_of_the_scores_where_there_are_no_margins():
    example = listed([1.0, 0.0], rewards=[2.0, 5.0])
    (made,) = label_transform(example, to="strength", by="rewards")
    assert (made.labels, made.meta["strength_mean"], made.meta["strength_std"]) == ([0.0, 1.0], -3.0, 0.0)
    (same,) = label_transform(example, to="strength")
    assert (same.labels, same.meta["strength_mean"]) == ([1.0, 0.0], 1.0)


@pytest.mark.parametrize("margins", [[], None, 3.0, ["1"], [math.nan]])
def test_margins_that_are_no_numbers(margins):
    with pytest.raises(DataError, match=r"row row: meta.margins is .* not a list of numbers"):
        list(label_transform(row(meta={"margins": margins}), to="strength"))


@pytest.mark.parametrize(
    ("example", "options", "reason"),
    [
        (listed([1.0]), {}, "one response has no rank"),
        (listed([0.5, 0.5]), {"to": "rank"}, "all responses have the same score"),
        (listed([0.5, 0.5]), {"to": "strength"}, "all responses have the same label"),
        (row(), {"by": "rewards"}, "no raw scores (rewards)"),
    ],
)
def test_rows_without_an_order(example, options, reason):
    assert outcome(label_transform, example, **options) == reason


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"to": "ranks"}, "to=ranks: did you mean 'rank'?"),
        ({"by": "reward"}, "by=reward: did you mean 'rewards'?"),
        ({"weak": "flop"}, "weak=flop: did you mean 'flip'?"),
    ],
)
def test_options_that_cannot_work(options, message):
    with pytest.raises(ConfigError) as error:
        list(label_transform(row(), **options))
    assert f"pipeline.label_transform.{message}" in str(error.value)
