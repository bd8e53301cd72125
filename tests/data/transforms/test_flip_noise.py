"""Labels turned around at random."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignlab.data.transforms.flip_noise import flip_noise
from alignlab.errors import ConfigError
from tests.data.transforms.listed import listed, some_labels


def noisy(example, **options):
    (made,) = flip_noise(example, **options)
    return made


def share(count=2000, labels=(1.0, 0.0), **options):
    """How many of that many rows are flipped."""
    rewards = options.pop("rewards", None)
    rows = [listed(labels, id=str(i), rewards=rewards) for i in range(count)]
    return sum(noisy(row, **options).meta["flipped"] for row in rows) / count


@given(labels=some_labels, swap=st.sampled_from(["best_worst", "permute"]), seed=st.integers(0, 99))
def test_flips_are_remembered_and_can_be_undone(labels, swap, seed):
    made = noisy(listed(labels), rate=0.5, swap=swap, seed=seed)
    assert made.meta["flipped"] == (made.labels != labels)
    assert made.rewards == [10 * label for label in labels]
    if len(labels) > 1:
        assert sorted(made.labels) == sorted(labels)
    if swap == "best_worst" and made.meta["flipped"] and len(labels) == 2:
        again = noisy(made, rate=1.0)
        assert (again.labels, again.meta["flipped"]) == (labels, False)


@given(labels=some_labels, swap=st.sampled_from(["best_worst", "permute"]))
def test_a_sure_flip_flips_whatever_can_be(labels, swap):
    made = noisy(listed(labels), rate=1.0, swap=swap)
    can_be = len(set(labels)) > 1 or (len(labels) == 1 and labels != [0.5])
    assert made.meta["flipped"] == can_be
    assert noisy(listed(labels), rate=0.0, swap=swap).labels == labels


def test_best_and_worst_change_places():
    made = noisy(listed([0.5, 1.0, 0.0, 0.25]), rate=1.0)
    assert made.labels == [0.5, 0.0, 1.0, 0.25]
    assert noisy(listed([0.75]), rate=1.0).labels == [0.25]
    margins = noisy(listed([1.0, 0.0], meta={"margins": [1.0, -0.5], "source": "s"}), rate=1.0).meta
    assert margins == {"margins": [-1.0, 0.5], "source": "s", "flipped": True}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"rate": 0.2}, 0.2),
        ({"model": "bradley_terry", "temperature": 2.0, "rewards": [3.0, 1.0]}, 1 / (1 + math.e)),
        ({"model": "bradley_terry"}, 1 / (1 + math.e)),
        ({"model": "bradley_terry", "rewards": [1.0, 3.0]}, 1 / (1 + math.exp(-2))),
        (
            {"model": "exponential", "rate": 0.4, "rewards": [3.0, 1.0], "temperature": 4.0},
            0.4 * math.exp(-0.5),
        ),
        ({"model": "exponential", "rate": 0.4, "rewards": [1.0, 3.0]}, 0.4),
        ({"model": "bradley_terry", "labels": [0.75]}, 1 / (1 + math.exp(0.5))),
    ],
)
def test_how_many_are_flipped(options, expected):
    """Within five standard deviations."""
    assert share(**options) == pytest.approx(expected, abs=5 * math.sqrt(expected * (1 - expected) / 2000))


def test_a_gap_beyond_all_floats():
    assert share(count=9, model="bradley_terry", rewards=[1e300, -1e300], temperature=1e-5) == 0
    assert share(count=9, model="bradley_terry", rewards=[-1e300, 1e300], temperature=1e-5) == 1


def test_noise_is_a_function_of_seed_and_row():
    def drawn(seed):
        return [noisy(listed([1.0, 0.0], id=str(i)), rate=0.5, seed=seed).meta["flipped"] for i in range(64)]

    assert drawn(0) == drawn(0) != drawn(1)


def test_validation_stays_sound_unless_asked():
    rows = [listed([1.0, 0.0], id=str(i)) for i in range(9)]
    told = [noisy(row, rate=1.0, split="validation") for row in rows]
    assert [(row.labels, row.meta["flipped"]) for row in told] == [([1.0, 0.0], False)] * 9
    asked = [noisy(row, rate=1.0, split="validation", validation=True) for row in rows]
    assert [(row.labels, row.meta["flipped"]) for row in asked] == [([0.0, 1.0], True)] * 9


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "symetric"}, "pipeline.flip_noise.model=symetric: did you mean 'symmetric'?"),
        ({"swap": "permut"}, "pipeline.flip_noise.swap=permut: did you mean 'permute'?"),
    ],
)
def test_options_that_cannot_work(options, message):
    with pytest.raises(ConfigError) as error:
        noisy(listed([1.0, 0.0]), **options)
    assert message in str(error.value)
