"""Micro-batches hold exactly their rows; steps visit every row in an order that is a pure function."""

from collections import Counter
from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from alignlab.data.batching.batches import StepLoader, collate, require_rows, within_budget
from alignlab.errors import DataError
from tests.data.ragged import draw, some_rows, token_rows


def decoded(batch):
    """The rows of a batch, found by following its indices token by token."""
    rows = []
    for b in range(len(batch.slot)):
        mine = batch.prompt == b
        prompt = batch.tokens[mine & (batch.row < 0)].tolist()
        assert batch.positions[mine & (batch.row < 0)].tolist() == list(range(len(prompt)))
        responses = []
        for slot in batch.slot[b][batch.where[b]].tolist():
            inside = batch.row == slot
            assert bool((batch.prompt[inside] == b).all())
            responses.append(batch.tokens[inside].tolist())
            first = len(prompt)
            assert batch.positions[inside].tolist() == list(range(first, first + len(responses[-1])))
        rows.append((prompt, responses))
    return rows


@given(rows=some_rows, data=st.data())
def test_a_batch_decodes_to_its_rows(rows, data):
    chosen = data.draw(st.lists(st.integers(0, len(rows) - 1), min_size=1, max_size=6, unique=True))
    made = token_rows(rows, rewards=True)
    batch = collate(made, chosen)
    assert decoded(batch) == [rows[i] for i in chosen]
    assert batch.ids == tuple(f"row{i}" for i in chosen)
    assert batch.weights.tolist() == [1 + i / 8 for i in chosen]
    assert sorted(batch.slot[batch.where].tolist()) == list(range(int(batch.where.sum())))
    for b, index in enumerate(chosen):
        size = len(rows[index][1])
        assert batch.labels[b, :size].tolist() == [-k for k in range(size)]
        assert batch.rewards[b, :size].tolist() == [-10 * k for k in range(size)]
        assert batch.where[b].tolist() == [k < size for k in range(batch.slot.shape[1])]
        assert not batch.labels[b, size:].any()


def test_reference_values_follow_their_responses():
    rows = draw((2, 1, 3), vocabulary=9)
    made = token_rows(rows).with_cached({"ref_logps": -torch.arange(6).double().numpy()})
    batch = collate(made, [2, 0])
    assert batch.cached["ref_logps"].tolist() == [[-3, -4, -5], [0, -1, 0]]
    assert collate(token_rows(rows), [0]).cached == {}
    assert collate(token_rows(rows), [0]).rewards is None


def padded_tokens(rows, group):
    widest = max(len(rows[i][0]) + len(r) for i in group for r in rows[i][1])
    return widest * sum(len(rows[i][1]) for i in group)


@given(rows=some_rows, budget=st.integers(1, 200))
def test_groups_keep_to_the_budget_and_hold_every_list_once(rows, budget):
    groups = list(within_budget(token_rows(rows), range(len(rows)), budget))
    assert sorted(i for group in groups for i in group) == list(range(len(rows)))
    for group in groups:
        assert len(group) == 1 or padded_tokens(rows, group) <= budget


@pytest.mark.parametrize(("budget", "groups"), [(10, [[0, 1]]), (9, [[0], [1]]), (4, [[0], [1]])])
def test_a_budget_is_used_to_the_last_token(budget, groups):
    rows = token_rows([([1], [[2, 3, 4, 5]])] * 2)
    assert list(within_budget(rows, [0, 1], budget)) == groups


def test_a_large_budget_is_used():
    rows = draw((2,) * 20, vocabulary=9)
    assert len(list(within_budget(token_rows(rows), range(20), 10_000))) == 1
    assert len(list(within_budget(token_rows(rows), range(20), 1))) == 20
    assert list(within_budget(token_rows(rows), [], 100)) == []


def loader(count=10, *, per_step=3, budget=30, **options):
    rows = token_rows(draw([1 + i % 3 for i in range(count)], vocabulary=9))
    return StepLoader(rows, lists_per_step=per_step, microbatch_tokens=budget, **options)


def ids(steps):
    return [sorted(i for batch in step for i in batch.ids) for step in steps]


@pytest.mark.parametrize(("count", "per_step"), [(10, 3), (9, 3), (2, 5), (1, 1)])
@pytest.mark.parametrize("shuffle", [True, False])
def test_every_row_once_an_epoch(count, per_step, shuffle):
    whole = loader(count, per_step=per_step, shuffle=shuffle)
    a_pass = -(-count // per_step)
    assert (len(whole), whole.steps_per_epoch) == (a_pass, a_pass)
    several = loader(count, per_step=per_step, shuffle=shuffle, steps=3 * a_pass)
    steps = ids(several)
    assert len(steps) == 3 * a_pass
    for epoch in range(3):
        seen = Counter(i for step in steps[epoch * a_pass : (epoch + 1) * a_pass] for i in step)
        assert seen == {f"row{i}": 1 for i in range(count)}
    sizes = [per_step] * (count // per_step) + ([count % per_step] if count % per_step else [])
    assert [len(step) for step in steps] == 3 * sizes


def test_without_shuffle_the_stored_order_is_kept():
    assert [loader(steps=8).indices(step) for step in range(8)] == 2 * [
        [0, 1, 2],
        [3, 4, 5],
        [6, 7, 8],
        [9],
    ]


def test_order_is_a_function_of_seed_and_step_alone():
    first = [loader(shuffle=True, seed=1, steps=12).indices(step) for step in range(12)]
    torch.manual_seed(5)
    again = loader(shuffle=True, seed=1, steps=12, start=3)
    assert [again.indices(step) for step in reversed(range(12))] == first[::-1]
    assert first[:4] != first[4:8]
    assert first[:4] != [loader(shuffle=True, seed=2).indices(step) for step in range(4)]


def test_an_order_is_drawn_once_an_epoch(monkeypatch):
    steps = loader(shuffle=True, seed=7, steps=8, start=3)
    drawn, draws = [], np.random.default_rng
    monkeypatch.setattr(np.random, "default_rng", lambda seed: drawn.append(seed) or draws(seed))
    assert len(list(steps)) == 5
    assert drawn == [[7, 0], [7, 1]]


@pytest.mark.parametrize("start", range(10))
@pytest.mark.parametrize("shuffle", [True, False])
def test_to_start_later_is_to_skip(start, shuffle):
    options = {"shuffle": shuffle, "seed": 3, "steps": 9}
    skipped = list(islice(loader(**options), start, None))
    started = list(loader(**options, start=start))
    assert len(started) == len(skipped) == max(0, 9 - start)
    for one, other in zip(started, skipped, strict=True):
        for left, right in zip(one, other, strict=True):
            assert left.ids == right.ids
            assert torch.equal(left.tokens, right.tokens)


def test_micro_batches_of_a_step_keep_to_the_budget():
    steps = list(loader(40, per_step=16, budget=25))
    assert any(len(step) > 1 for step in steps)
    for batch in (batch for step in steps for batch in step):
        widest = max(int(batch.positions[batch.row == n].max()) + 1 for n in range(int(batch.slot.max()) + 1))
        assert len(batch.ids) == 1 or widest * (int(batch.slot.max()) + 1) <= 25


@pytest.mark.parametrize("steps", [1, 2, 4, 9])
def test_visited_rows_are_those_of_the_steps(steps):
    some = loader(shuffle=True, seed=4, steps=steps)
    expected = sorted({i for step in range(steps) for i in some.indices(step)})
    assert some.visited().tolist() == expected


def test_no_rows_are_an_error_with_the_way_out():
    require_rows(token_rows(draw((1,), vocabulary=9)), "train")
    empty = token_rows([])
    with pytest.raises(DataError, match=r"no train rows are left.*data.max_prompt_length="):
        require_rows(empty, "train")
