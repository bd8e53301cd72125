"""OpenAssistant: a list a row, or every list of a tree."""

import pytest

from alignlab.data.reading.rows import Drop, RowError, validate
from alignlab.data.sources.oasst import convert
from tests.data.sources.rows import BLUE, OASST, OPENING, RED, TREE, changed, said


def lists(row):
    return [validate(example) for example in convert(row)]


def test_a_list_of_ranks():
    (example,) = lists(OASST)
    assert example.prompt == OPENING
    assert example.responses == [[RED], [BLUE], [said("assistant", "green")]]
    assert (example.labels, example.rewards) == ([1.0, 0.5, 0.0], None)
    assert (example.id, example.meta) == ("m3", {"tree": "t1"})


@pytest.mark.parametrize(("ranks", "labels"), [([2, 0, 1], [0.0, 1.0, 0.5]), ([0, 0, 1], [1.0, 1.0, 0.0])])
def test_labels_go_by_rank_and_not_by_place(ranks, labels):
    assert lists(changed(OASST, "ranks", to=ranks))[0].labels == labels


def test_a_tree_has_a_list_wherever_replies_are_ranked():
    first, second = lists(TREE)
    assert (first.prompt, first.id) == (OPENING[:1], "m1")
    assert [turns[0]["content"] for turns in first.responses] == ["Hey.", "Hi."]
    assert first.labels == [0.0, 1.0]
    assert (second.prompt, second.responses, second.labels) == (OPENING, [[BLUE], [RED]], [0.0, 1.0])
    assert (second.id, second.meta) == ("m3", {"tree": "t1"})


@pytest.mark.parametrize(
    ("row", "failure", "message"),
    [
        (changed(OASST, "ranks", to=[0, 1]), RowError, "column 'ranks': 2 ranks for 3 responses"),
        (changed(OASST, "ranks", to=[0, None, 1]), RowError, "column 'ranks[1]': expected a finite number"),
        (changed(OASST, "ranks", to=None), RowError, "column 'ranks': missing"),
        (OASST | {"responses": ["red"], "ranks": [0]}, RowError, "expected at least 2 ranked responses"),
        (
            changed(OASST, "responses", 1, to=["blue"]),
            RowError,
            "column 'responses[1]': expected str, found [",
        ),
        (changed(OASST, "responses", 1, to=" "), Drop, "an empty reply"),
        (changed(OASST, "messages", to=[*OPENING, RED]), RowError, "ends with an assistant turn"),
        (
            changed(TREE, "prompt", "role", to="robot"),
            RowError,
            "role 'robot' is none of prompter, assistant",
        ),
        (changed(TREE, "prompt", "text", to=None), RowError, "column 'text': missing"),
        (
            changed(TREE, "prompt", "replies", to="none"),
            RowError,
            "column 'replies': expected a list of turns",
        ),
        (changed(TREE, "prompt", "replies", to=[]), Drop, "no turn with two ranked replies"),
    ],
)
def test_rows_that_do_not_serve(row, failure, message):
    with pytest.raises(failure) as error:
        lists(row)
    assert message in str(error.value)
