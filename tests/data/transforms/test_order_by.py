"""Orders: always all rows, by the number that was asked for, equals by id."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignlab.data.transforms.order_by import KEYS, order_by
from alignlab.errors import ConfigError, DataError
from tests.data.transforms.hand_made import row, tokenized

rows_of_numbers = st.lists(
    st.tuples(st.sampled_from([0.25, 0.5, 1.0]), st.integers(-3, 3), st.integers(-3, 3), st.integers(1, 9)),
    max_size=10,
)


def made(numbers):
    """Pairs with ids that are not in the order of the rows."""
    ids = [f"{(7 * i) % 11:02d}" for i in range(len(numbers))]
    examples = [
        row(id=name, labels=[0.0, label], rewards=[float(reward), 0.0])
        for name, (label, reward, _, _) in zip(ids, numbers, strict=True)
    ]
    logps = [[0.0, logp] for _, _, logp, _ in numbers]
    lengths = [[length, 1] for _, _, _, length in numbers]
    return tokenized(examples, logps, lengths, [2] * len(numbers))


def number(by, label, reward, logp, length):
    """What a row is ordered by."""
    return {
        "gap": label,
        "reward_gap": abs(reward),
        "length": length + 3,
        "reference_margin": logp,
        "difficulty": -logp,
    }[by]


@given(numbers=rows_of_numbers, by=st.sampled_from(KEYS), descending=st.booleans(), seed=st.integers(0, 3))
def test_an_order_is_a_permutation(numbers, by, descending, seed):
    rows = made(numbers)
    selection = order_by(rows, by=by, descending=descending, seed=seed)
    assert sorted(selection.keep) == list(range(len(numbers)))
    assert selection.ordered
    assert not selection.dropped
    if by == "random":
        return
    sign = -1 if descending else 1
    found = [(sign * number(by, *numbers[i]), rows.examples[i].id) for i in selection.keep]
    assert found == sorted(found)


@given(numbers=rows_of_numbers, by=st.sampled_from(KEYS), descending=st.booleans())
def test_an_order_does_not_hang_on_that_of_the_rows(numbers, by, descending):
    rows = made(numbers)
    backwards = tokenized(
        rows.examples[::-1],
        [list(v) for v in rows.logps][::-1],
        [list(v) for v in rows.lengths][::-1],
        [2] * len(rows),
    )
    names = [
        [given.examples[i].id for i in order_by(given, by=by, descending=descending).keep]
        for given in (rows, backwards)
    ]
    assert names[0] == names[1]


def test_random_orders_are_of_the_seed():
    rows = tokenized([row(id=str(i)) for i in range(50)])
    orders = [tuple(order_by(rows, by="random", seed=seed).keep) for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]
    assert orders[0] != tuple(range(50))


def test_only_scores_that_are_asked_for_are_computed():
    rows = tokenized([row(id="a"), row(id="b")])
    for by in ("gap", "length", "random"):
        order_by(rows, by=by)
    with pytest.raises(AssertionError, match="no scores"):
        order_by(rows, by="difficulty")


def test_what_cannot_be_ordered():
    with pytest.raises(ConfigError, match=r"pipeline\.order_by\.by=lenght: did you mean 'length'\?"):
        order_by(tokenized([row()]), by="lenght")
    with pytest.raises(DataError, match=r"row row has no rewards: use pipeline\.order_by\.by=gap"):
        order_by(tokenized([row()]), by="reward_gap")
