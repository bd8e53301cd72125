"""The one truncation: what is cut, what is kept, and what is dropped with which reason."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignlab.data.encoding.tokenize import Limits, Tokens, truncate
from alignlab.data.reading.rows import Drop

ids = st.lists(st.integers(0, 3), min_size=1, max_size=12)
PROMPT, LONG = [1, 5, 6, 7], [8, 9, 10, 11, 2]


@given(
    prompt=ids,
    responses=st.lists(ids, min_size=1, max_size=4),
    max_length=st.integers(1, 16),
    most=st.none() | st.integers(1, 14),
)
def test_truncation(prompt, responses, max_length, most):
    kept = min(len(prompt), most or len(prompt))
    room = max_length - kept
    same = len(responses) > 1 and len({tuple(r[: max(room, 0)]) for r in responses}) == 1
    try:
        cut = truncate(Tokens([prompt], responses), Limits(max_length, most))
    except Drop as reason:
        dropped = str(reason)
    else:
        dropped = ""
    assert ("leaves no room" in dropped) == (room < 1)
    assert ("do not differ" in dropped) == (room >= 1 and same)
    if dropped:
        return
    assert len(cut.prompt) == kept
    assert cut.prompt[0] == prompt[0]
    assert cut.prompt[1:] == prompt[len(prompt) - kept + 1 :]
    for before, after in zip(responses, cut.responses, strict=True):
        assert after
        assert after == before[:room]
        assert len(cut.prompt) + len(after) <= max_length


def test_an_exact_fit_is_whole():
    whole = Tokens([PROMPT], [LONG, LONG[::-1]])
    assert truncate(whole, Limits(9)) == whole
    assert truncate(whole, Limits(8)).responses == [LONG[:-1], LONG[::-1][:-1]]


@pytest.mark.parametrize(("most", "expected"), [(4, [1, 5, 6, 7]), (3, [1, 6, 7]), (2, [1, 7]), (1, [1])])
def test_a_long_prompt_keeps_its_first_token_and_its_end(most, expected):
    assert truncate(Tokens([PROMPT], [LONG]), Limits(100, most)).prompt == expected


@pytest.mark.parametrize(
    ("responses", "limits", "reason"),
    [
        ([LONG], Limits(4), "the prompt fills max_length and leaves no room for a response"),
        ([LONG], Limits(3), "the prompt fills max_length and leaves no room for a response"),
        ([LONG, []], Limits(20), "a response has no tokens"),
        ([LONG, [*LONG, 3]], Limits(9), "the responses do not differ within max_length"),
    ],
)
def test_what_cannot_be_trained_on_is_dropped_with_its_reason(responses, limits, reason):
    with pytest.raises(Drop) as drop:
        truncate(Tokens([PROMPT], responses), limits)
    assert str(drop.value) == reason


def test_two_of_three_equal_responses_are_kept():
    cut = truncate(Tokens([PROMPT], [[8, 9], [8, 9], [9]]), Limits(20))
    assert cut.responses == [[8, 9], [8, 9], [9]]


def test_a_response_is_never_cut_to_a_stub():
    limits = Limits(len(PROMPT) + 3, min_response_length=4)
    assert truncate(Tokens([PROMPT], [[8, 9], [9]]), limits).responses == [[8, 9], [9]]
    with pytest.raises(Drop, match="less than 4 tokens for a longer response"):
        truncate(Tokens([PROMPT], [LONG, [9]]), limits)


def test_each_response_has_the_room_that_its_own_prompt_leaves():
    cut = truncate(Tokens([PROMPT, [1, 5]], [LONG, LONG]), Limits(6))
    assert cut.prompts == [PROMPT, [1, 5]]
    assert cut.responses == [LONG[:2], LONG[:4]]
    assert truncate(Tokens([PROMPT, [1, 5]], [[8], [8]]), Limits(9, 2)).prompts == [[1, 7], [1, 5]]
    with pytest.raises(Drop, match="leaves no room"):
        truncate(Tokens([[1], PROMPT], [[8], [9]]), Limits(4))


def test_equal_responses_to_different_prompts_differ():
    assert truncate(Tokens([PROMPT, [1, 5]], [LONG, LONG]), Limits(9)).responses == [LONG, LONG]
    with pytest.raises(Drop, match="do not differ"):
        truncate(Tokens([PROMPT, PROMPT], [LONG, LONG]), Limits(9))
