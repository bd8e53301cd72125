"""The CHES filter: its score is that of the paper, and what it keeps is the lowest share."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alignlab.data.transforms.filter_ches import ches_of, ches_scores, filter_ches
from alignlab.errors import ConfigError, DataError
from tests.data.transforms.hand_made import row, tokenized, vector


def rows_of(states):
    """Pairs by the hidden states of their responses, the chosen one second; `[rows][2][tokens, D]`."""
    sums = [np.stack([np.asarray(part).sum(0) for part in pair]) for pair in states]
    return tokenized(
        [row(id=f"r{i}", labels=(0.0, 1.0)) for i in range(len(states))],
        lengths=[[len(part) for part in pair] for pair in states],
        products=[s @ s.T for s in sums],
    )


def test_vector():
    case = vector("A14_ches")
    chosen, rejected = (np.array(case["inputs"][name]) for name in ("h_pref", "h_disp"))
    rows = rows_of([(rejected, chosen), (chosen, chosen)])
    found = ches_scores(rows, normalized=False)
    assert found == pytest.approx([case["outputs"]["ches"], case["outputs"]["self_ches"]], abs=1e-9)
    assert ches_scores(rows, normalized=True)[0] == pytest.approx(case["outputs"]["ln_ches"], abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 99), normalized=st.booleans())
def test_inner_products_give_the_score_of_the_hidden_states(seed, normalized):
    random = np.random.default_rng(seed)
    sums, lengths = random.normal(size=(3, 4)), random.integers(1, 9, size=3)
    states = sums / lengths[:, None] if normalized else sums
    found = ches_of(sums @ sums.T, lengths, 2, 0, normalized=normalized)
    assert found == pytest.approx(states[2] @ states[0] - states[2] @ states[2], abs=1e-9)


def test_orthogonal_responses_have_the_lowest_score_without_opposition():
    sums = np.array([[0.0, 3.0], [5.0, 0.0]])
    assert ches_of(sums @ sums.T, np.ones(2), 0, 1, normalized=False) == -9


def random_rows(count, seed=0):
    random = np.random.default_rng(seed)
    return rows_of([[random.normal(size=(n, 3)) for n in random.integers(1, 6, 2)] for _ in range(count)])


@pytest.mark.parametrize("normalized", [True, False])
def test_the_lowest_share_stays_in_its_order(normalized):
    rows = random_rows(41)
    selection = filter_ches(rows, high=0.25, normalized=normalized)
    scores = ches_scores(rows, normalized=normalized)
    assert list(selection.keep) == sorted(np.argsort(scores)[:11].tolist())
    assert sorted([*selection.keep, *selection.dropped]) == list(range(41))
    assert all(reason.startswith("CHES score above") for reason in selection.dropped.values())
    assert not selection.ordered


def test_bounds_may_be_scores():
    rows = random_rows(10)
    scores = ches_scores(rows, normalized=True)
    selection = filter_ches(rows, unit="score", low=float(np.median(scores)), high=None)
    assert list(selection.keep) == np.flatnonzero(scores >= np.median(scores)).tolist()


def test_validation_stays_and_needs_no_pass():
    rows = tokenized([row(id="a"), row(id="b")])
    assert list(filter_ches(rows, split="validation").keep) == [0, 1]
    some = random_rows(20)
    assert len(filter_ches(some, split="validation", validation=True).keep) == 1


def test_bad_options_and_rows_without_a_preference_are_told():
    with pytest.raises(ConfigError, match=r"pipeline\.filter_ches\.unit=share: "):
        filter_ches(random_rows(2), unit="share")
    with pytest.raises(ConfigError, match=r"pipeline\.filter_ches\.high=5\.0: with unit=quantile a share"):
        filter_ches(random_rows(2), high=5.0)
    with pytest.raises(DataError, match="row lone: no response is worse"):
        filter_ches(tokenized([row(responses=["a"], labels=[1.0], id="lone")], products=[[[1.0]]]))
