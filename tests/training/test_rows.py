"""The limits of a run, within what the model can hold, and what its objective takes of labels."""

import pytest

from alignlab.data.encoding.tokenize import Limits
from alignlab.data.load import Examples
from alignlab.data.reading.examples import Report
from alignlab.data.spec import DataSpec
from alignlab.data.tables.table import ExampleTable, write_table
from alignlab.errors import DataError
from alignlab.lab import world
from alignlab.objective.load import load_objective
from alignlab.training.rows import check_lists, limits_within
from alignlab.types import Example


@pytest.mark.parametrize(
    ("asked", "context", "expected"),
    [
        ({}, 2048, Limits(1024, None, 32)),
        ({}, 512, Limits(512, None, 32)),
        ({"max_prompt_length": 512}, 2048, Limits(1024, 512, 32)),
        ({"max_prompt_length": 512}, 512, Limits(512, 256, 32)),
        ({"max_length": 100, "max_prompt_length": 200}, 512, Limits(100, 50, 32)),
        ({"min_response_length": 1, "max_prompt_length": 10}, 20, Limits(20, 10, 1)),
    ],
)
def test_limits_are_lowered_to_the_context(asked, context, expected):
    assert limits_within(DataSpec("lab", world.examples, **asked), context) == expected


@pytest.fixture
def check(tmp_path, caplog):
    """`check(objective, *lists of labels, **spec)` checks such rows, and gives what was logged."""

    def run(name, *lists, **spec):
        write_table(
            tmp_path / "rows",
            [Example([], ["?"] * len(labels), list(map(float, labels))) for labels in lists],
        )
        rows = ExampleTable(tmp_path / "rows")
        with caplog.at_level("INFO"):
            check_lists(load_objective(name), Examples(rows, rows, Report()), DataSpec("mine", **spec))
        return caplog.text

    return run


@pytest.mark.parametrize("name", ["lipo_lambda", "info_nca", "tpo_tree"])
@pytest.mark.parametrize("labels", [(9, 7, 2), (1250, 1100, 900), (0.5, 0, -0.5)])
def test_labels_beyond_0_and_1_are_refused_by_objectives_that_take_values(check, name, labels):
    message = (
        rf"'{name}' takes labels between 0 and 1, .* from {min(labels):g} to {max(labels):g}: .*data\.scale"
    )
    with pytest.raises(DataError, match=message):
        check(name, labels)
    assert not check(name, labels, scale="keep")


@pytest.mark.parametrize("name", ["dpo", "list_mle", "kto", "pro"])
def test_and_taken_where_their_order_or_their_differences_count(check, name):
    assert "WARNING" not in check(name, (9, 7, 2))


@pytest.mark.parametrize("name", ["kto", "bco"])
def test_ratings_of_lone_responses_are_refused(check, name):
    with pytest.raises(DataError, match="takes labels of lone responses between 0 and 1"):
        check(name, (1,), (5,))


def test_the_desirable_are_counted(check):
    assert "INFO" in (text := check("kto", (1,), (0.5,), (0,), (9, 7, 2, 2)))
    assert "3 training responses are desirable, 4 are not" in text
    assert "WARNING" in check("bco", (1,), (0.9,))


def test_lists_that_teach_nothing_and_ties_are_told(check):
    text = check("dpo", (1, 0), (1,), (0.5,), (1, 1, 0), (0, 1, 0))
    assert "2 of 5 training lists have one response" in text
    assert "2 of 5 training lists have responses with equal labels" in text
    assert "equal" not in check("dpo", *[(1, 0)] * 5, (0, 1, 0))[len(text) :]
