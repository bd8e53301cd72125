"""A function of one's own as a judge: what it is given, and what it may return."""

import time

import pytest

from alignlab.errors import AlignlabError
from alignlab.judges.function import Function
from alignlab.judges.gold import Gold
from alignlab.judges.judge import Asked

HERE = __name__
ASKED = [
    Asked("r0", [{"role": "user", "content": "one"}], ("a", "bbb"), (True, False), {"domain": "x"}),
    Asked("r1", [{"role": "user", "content": "two"}], ("cc",)),
]


def lengths(prompts, responses):
    assert [prompt[0]["content"] for prompt in prompts] == ["one", "one", "two"]
    return [len(response) for response in responses]


def offered(prompts, responses, *, ids, meta, finished):
    return [len(i) + len(m) + ended for i, m, ended in zip(ids, meta, finished, strict=True)]


def none_of_long(prompts, responses):
    return [None if len(response) > 2 else 1.0 for response in responses]


def nan(prompts, responses):
    return [float("nan")] * len(responses)


def few(prompts, responses):
    return [1.0]


def no_list(prompts, responses):
    return 1.0


def hanging(prompts, responses):
    time.sleep(60)


def raising(prompts, responses):
    return responses[99]


def test_it_is_given_lists_and_gives_numbers():
    assert [one.rewards for one in Function(function=f"{HERE}.lengths")(ASKED)] == [(1.0, 3.0), (2.0,)]
    assert [one.rewards for one in Function(function=f"{HERE}.offered")(ASKED)] == [(4.0, 3.0), (3.0,)]
    assert Function(function=f"{HERE}.none_of_long")(ASKED)[0].rewards == (1.0, None)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nan", "returned nan for response 1 of row r0"),
        ("few", "returned 1 numbers for 3 responses"),
        ("no_list", "returned float, and not a list"),
        ("hanging", "did not return within 0.1 s for 3 responses"),
        ("raising", "judge.function=.*list index out of range"),
    ],
)
def test_what_it_may_not_do_is_one_clear_message(name, message):
    with pytest.raises(AlignlabError, match=message):
        Function(function=f"{HERE}.{name}", timeout=0.1)(ASKED)


def test_a_judge_that_cannot_be_imported_is_told_before():
    assert "nope" in next(Function.problems({"function": "nope.f"}))
    assert "no function" in next(Function.problems({"function": "math.pi"}))
    assert not [*Gold.problems({"reward": "alignlab.lab.reward.gold"})]


def test_gold_gives_the_exact_reward_and_its_aspects():
    asked = Asked(
        "r", [{"role": "user", "content": "Tell me about the fox."}], ("The fox is red. It eats grass.", "")
    )
    (judged,) = Gold()([asked])
    assert judged.rewards == (0.5, 0.0)
    assert judged.aspects["harm"] == (0.0, 0.0)
