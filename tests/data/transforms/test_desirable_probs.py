"""Which training rows a classifier of prompts is fitted on, and what becomes of its probabilities."""

from dataclasses import replace

import numpy as np
import pytest

from alignlab.data.transforms.desirable_probs import desirable_probs
from alignlab.errors import DataError
from tests.data.transforms.hand_made import row, tokenized


def asked(labels, *, training=None, **options):
    """The selection, and the rows that the classifier is fitted on, by whether these are desirable."""
    calls = []

    def classify(places, desirable):
        calls.append((np.asarray(places), np.asarray(desirable)))
        return np.linspace(0, 1, len(labels))

    examples = [row(id=str(i), labels=own, responses=["x"] * len(own)) for i, own in enumerate(labels)]
    rows = replace(tokenized(examples), classify=classify, training=training)
    selection = desirable_probs(rows, **options)
    ((places, desirable),) = calls
    return selection, {side: places[desirable == side].tolist() for side in (True, False)}


def test_a_row_is_of_the_class_of_its_responses():
    selection, fitted_on = asked([(1.0,), (0.5,), (0.0,), (0.9, 0.8), (0.9, 0.9), (0.1, 0.1)])
    assert fitted_on == {True: [0, 3, 4], False: [1, 2, 3, 5]}
    assert list(selection.keep) == list(range(6))
    values = selection.signals["desirable_probs"]
    assert [len(value) for value in values] == [1, 1, 1, 2, 2, 2]
    assert [set(value) for value in values] == [{p} for p in np.linspace(0, 1, 6)]


def test_at_most_so_many_of_each_class_are_drawn():
    labels = [(float(i % 3 == 0),) for i in range(60)]
    _, some = asked(labels, rows=10)
    assert [len(some[side]) for side in (True, False)] == [10, 10]
    assert all(place % 3 == 0 for place in some[True])
    assert asked(labels, rows=10)[1] == some != asked(labels, rows=10, seed=1)[1]
    assert [len(part) for part in asked(labels, rows=30)[1].values()] == [20, 30]


def test_validation_goes_by_the_training_rows():
    training = tokenized(
        [row(id="a", labels=(1.0,), responses=["x"]), row(id="b", labels=(0.0,), responses=["x"])]
    )
    selection, fitted_on = asked([(1.0,)] * 3, training=training)
    assert fitted_on == {True: [0], False: [1]}
    assert len(selection.signals["desirable_probs"]) == 3


@pytest.mark.parametrize(
    ("labels", "options", "failure", "message"),
    [
        ([(1.0,), (0.8,)], {}, DataError, "no training row is undesirable"),
        ([(0.0,), (0.5,)], {}, DataError, "no training row is desirable"),
    ],
)
def test_what_it_cannot_tell_apart(labels, options, failure, message):
    with pytest.raises(failure, match=message):
        asked(labels, **options)


def test_responses_with_a_prompt_each_are_refused():
    with pytest.raises(DataError, match="row j: its responses have a prompt each"):
        desirable_probs(tokenized([row(id="j", meta={"prompts": [[], []]})]))
