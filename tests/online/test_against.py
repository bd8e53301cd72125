"""What is drawn stands against the best response of the data, which is chosen whatever was drawn."""

from dataclasses import replace

import numpy as np
import pytest

from alignlab.judges.judge import Judged
from alignlab.online.against import Against, with_best
from alignlab.online.rows import rows_of
from alignlab.types import Example
from tests.data.ragged import lists, token_rows
from tests.online.lists import listed


@pytest.fixture(scope="module")
def rows():
    """A list of the data whose second response is the best."""
    made = token_rows([([1, 2], [[3, 9], [4, 5, 9], [6, 9]])])
    example = Example([{"role": "user", "content": "ask"}], ["a", "b", "c"], [0.2, 0.9, 0.1])
    return replace(made, examples=[example], labels=lists([example.labels]))


def drawn(*responses):
    one = listed(Judged(), (True,) * len(responses), "r")
    return replace(one, rollout=replace(one.rollout, responses=tuple(map(np.array, responses))))


def test_the_best_of_the_data_is_chosen_and_all_that_is_drawn_rejected(rows):
    one = with_best(Against(rows)(drawn([7, 9], [8, 9])), rows)
    made = rows_of([one], rows)
    assert [made.responses[k].tolist() for k in made.members[0]] == [[7, 9], [8, 9], [4, 5, 9]]
    assert made.labels[0].tolist() == [0.0, 0.0, 1.0]
    assert made.examples[0].responses[2] == "b"


def test_a_response_that_the_data_have_teaches_nothing(rows):
    assert Against(rows)(drawn([4, 5, 9], [7, 9])).kept == (1,)
    assert Against(rows)(drawn([4, 5, 9])).dropped == "the response of the data"
