"""The limits of a run: what the data asks for, within what the model can hold."""

import pytest

from alignlab.data.encoding.tokenize import Limits
from alignlab.data.spec import DataSpec
from alignlab.lab import world
from alignlab.training.rows import limits_within


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
