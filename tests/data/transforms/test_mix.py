"""Mixtures have the shares asked for, as large as the data allows, no row twice."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignlab.data.reading.rows import user
from alignlab.data.steps import Tokenized
from alignlab.data.transforms.mix import mix
from alignlab.errors import ConfigError
from alignlab.types import Example


def tokenized(parts, lengths=None):
    rows = [Example(user("p"), ["a"], [1.0], id=str(i), meta={"part": part}) for i, part in enumerate(parts)]
    sizes = [np.array([size]) for size in lengths or [4] * len(parts)]
    return Tokenized(rows, np.full(len(rows), 2), sizes, lambda: [])


@given(a=st.integers(1, 60), b=st.integers(1, 60), weight=st.floats(0.2, 5), seed=st.integers(0, 3))
def test_shares_of_rows(a, b, weight, seed):
    found = mix(tokenized("a" * a + "b" * b), weights={"a": weight, "b": 1.0}, seed=seed)
    assert len(set(found.keep)) == len(found.keep)
    assert sorted([*found.keep, *found.dropped]) == list(range(a + b))
    kept_a = sum(i < a for i in found.keep)
    kept_b = len(found.keep) - kept_a
    assert kept_a == a or kept_b == b
    assert abs(kept_a - weight * kept_b) <= max(1, weight)


def test_shares_of_tokens():
    rows = tokenized("a" * 50 + "b" * 50, [8] * 50 + [98] * 50)
    found = mix(rows, weights={"a": 1.0, "b": 1.0}, by="tokens")
    kept_b = sum(i >= 50 for i in found.keep)
    assert len(found.keep) - kept_b == 50
    assert kept_b == 5
    assert set(found.dropped.values()) == {"beyond the share of b"}


def test_validation_is_whole_and_mixed():
    found = mix(tokenized("a" * 20 + "b" * 20), weights={"a": 1.0, "b": 9.0}, split="validation")
    assert sorted(found.keep) == list(range(40))
    assert 0 < sum(i < 20 for i in found.keep[:10]) < 10


def test_shares_of_what():
    with pytest.raises(ConfigError, match=r"data\.mix\.by=words"):
        mix(tokenized("ab"), weights={"a": 1.0, "b": 1.0}, by="words")
