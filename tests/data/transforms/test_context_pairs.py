"""Pairs whose preference reverses with a criterion."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignlab.data.transforms.context_pairs import context_pairs
from alignlab.errors import ConfigError
from tests.data.transforms.hand_made import row
from tests.data.transforms.listed import outcome

RATINGS = st.lists(
    st.fixed_dictionaries(
        {"quality": st.integers(0, 3), "length": st.sampled_from([1.0, 2.0, float("nan"), None])}
    ),
    min_size=2,
    max_size=5,
)


def rated(ratings):
    return row(
        responses=[f"r{i}" for i in range(len(ratings))],
        labels=[0.5] * len(ratings),
        meta={"ratings": ratings},
    )


@given(ratings=RATINGS, pairs=st.integers(1, 3), seed=st.integers(0, 3))
def test_two_rows_of_a_pair_prefer_opposite_responses_as_their_criteria_do(ratings, pairs, seed):
    criteria = {"quality": "how true it is", "-length": "how short it is"}
    made = outcome(context_pairs, rated(ratings), criteria=criteria, pairs=pairs, seed=seed)
    if isinstance(made, str):
        assert made == "no two criteria prefer opposite responses"
        return
    assert len(made) % 2 == 0
    assert len(made) <= 2 * pairs
    for one, other in zip(made[::2], made[1::2], strict=True):
        assert one.meta["pair"] == other.meta["pair"]
        assert one.responses == [*reversed(other.responses)]
        assert {one.meta["context"], other.meta["context"]} == {*criteria}
        for made_row in (one, other):
            assert made_row.labels == [1.0, 0.0]
            assert criteria[made_row.meta["context"]] in made_row.prompt[0]["content"]
            better, worse = made_row.meta["ratings"]
            if made_row.meta["context"] == "quality":
                assert better["quality"] > worse["quality"]
            else:
                assert better["length"] < worse["length"]


def test_what_no_pair_can_be_made_of_is_dropped_with_the_reason():
    one_sided = [{"quality": 1, "length": 1}, {"quality": 0, "length": 0}]
    assert "prefer opposite" in outcome(context_pairs, rated(one_sided))
    assert len(outcome(context_pairs, rated(one_sided), criteria={"quality": "q", "-length": "s"})) == 2
    assert "no ratings by aspect" in outcome(context_pairs, row(responses=["a", "b"]))
    assert "one response alone" in outcome(context_pairs, row(responses=["a"], labels=[1.0]))
    assert "no rating of truth: the row has quality, length" in outcome(
        context_pairs, rated(one_sided), criteria={"truth": "t"}
    )
    with pytest.raises(ConfigError, match="it never says"):
        [*context_pairs(rated(one_sided), template="Judge.")]


def test_rows_that_have_a_context_stay():
    known = row(responses=["a", "b"], meta={"context": "x", "pair": "1"})
    assert [*context_pairs(known)] == [known]
