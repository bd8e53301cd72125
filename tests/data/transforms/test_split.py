"""No prompt is on two sides, whatever the rows; sides do not depend on the other rows."""

from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignlab.data.reading.rows import Dropped, user
from alignlab.data.transforms.limit import limit
from alignlab.data.transforms.split import apart, prompt_key, split
from alignlab.errors import ConfigError
from alignlab.types import Example

prompts = st.lists(st.integers(0, 30).map(str), min_size=2, max_size=60)


def rows(names):
    return [Example(user(name), ["a", "b"], [1.0, 0.0], id=f"{i}") for i, name in enumerate(names)]


def side(examples, name, **options):
    return [row.id for row in split(examples, split=name, **options)]


@given(names=prompts, seed=st.integers(0, 3), validation=st.floats(0, 0.5), test=st.floats(0, 0.4))
def test_every_row_is_on_one_side_with_all_of_its_prompt(names, seed, validation, test):
    examples = rows(names)
    options = {"seed": seed, "validation": validation, "test": test}
    sides = {name: side(examples, name, **options) for name in ("train", "validation", "test")}
    assert sorted(chain(*sides.values()), key=int) == [row.id for row in examples]
    of = {name: {names[int(i)] for i in ids} for name, ids in sides.items()}
    assert not of["train"] & of["validation"] | of["train"] & of["test"] | of["validation"] & of["test"]


def test_a_row_stays_where_it_is_when_others_come():
    few, many = rows(map(str, range(50))), rows(map(str, range(100)))
    assert set(side(few, "validation", validation=0.3)) <= set(side(many, "validation", validation=0.3))


def test_conversations_that_begin_alike_stay_together():
    first, answer, more = user("Tell me  a Joke"), {"role": "assistant", "content": "no"}, user("please")
    system = {"role": "system", "content": "Be kind."}
    longer = Example([system, *user("tell me a joke"), answer, *more], ["a", "b"], [1.0, 0.0])
    assert prompt_key(longer) == prompt_key(Example(first, ["a"], [1.0]))
    assert prompt_key(longer) != prompt_key(Example(more, ["a"], [1.0]))


def test_another_seed_another_split():
    examples = rows(map(str, range(100)))
    assert side(examples, "validation", seed=1) != side(examples, "validation", seed=2)


def test_impossible_shares():
    with pytest.raises(ConfigError, match="share"):
        list(split(rows("ab"), validation=0.6, test=0.4))


def test_rows_apart():
    found = list(apart(rows("abc"), others=rows("b")))
    assert [row.id for row in found] == ["0", "1", "2"]
    assert found[1] == Dropped("1", "the prompt is in the training rows")


@given(names=prompts, most=st.integers(1, 80), seed=st.integers(0, 3))
def test_limit(names, most, seed):
    examples = rows(names)
    for choose in ("first", "random"):
        kept = [
            row for row in limit(examples, rows=most, choose=choose, seed=seed) if isinstance(row, Example)
        ]
        assert len(kept) == min(most, len(names))
        assert sorted(kept, key=lambda row: int(row.id)) == kept
    assert list(limit(examples, rows=1, split="validation")) == examples


def test_limit_refuses():
    with pytest.raises(ConfigError, match="choose=best"):
        list(limit(rows("ab"), choose="best"))
