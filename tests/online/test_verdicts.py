"""A judge's verdicts are held against what was asked."""

import math

import pytest

from alignlab.errors import AlignlabError
from alignlab.judges.judge import Asked, Judged
from alignlab.online.verdicts import verdicts


class Says:
    """A judge that says what a function says of each list."""

    identity = "the judge"

    def __init__(self, say):
        self.say = say

    def __call__(self, asked):
        return [self.say(one) for one in asked]


ASKED = [Asked(f"r{i}", [{"role": "user", "content": "?"}], ("a", "b")) for i in range(2)]


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (Judged(rewards=(1.0,)), "gave row r0 1 rewards for 2 responses"),
        (Judged(rewards=(math.nan, 1.0)), "gave row r0 the reward nan"),
        (Judged(), "neither rewards nor preferences"),
        (Judged(preferences=((0.5,),)), "no table of its 2 responses"),
        (Judged(preferences=((0.5, 1.5), (0.0, 0.5))), "no probability"),
    ],
)
def test_what_is_no_verdict_is_told_with_its_row(said, message):
    with pytest.raises(AlignlabError, match=message):
        verdicts(Says(lambda one: said), ASKED)


def test_too_few_lists_and_exceptions_name_the_judge():
    with pytest.raises(AlignlabError, match="the judge judged 1 of 2 lists"):
        verdicts(lambda_judge(lambda asked: [Judged(unsaid="timed out")]), ASKED)
    with pytest.raises(AlignlabError, match=r"judge the judge.*division by zero"):
        verdicts(Says(lambda one: 1 / 0), ASKED)


def lambda_judge(call):
    class Lists(Says):
        def __call__(self, asked):
            return call(asked)

    return Lists(None)


def test_a_list_without_a_verdict_needs_no_numbers():
    assert verdicts(Says(lambda one: Judged(unsaid="unparsed")), ASKED)[1].unsaid == "unparsed"
    assert verdicts(Says(lambda one: Judged(rewards=(None, 2.0))), ASKED)[0].rewards == (None, 2.0)
