"""Attention by tiles, against attention under one mask over all tokens."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from alignlab.data.batching.batches import collate
from alignlab.policies.causal_lm.packing import tiles as plan
from alignlab.policies.causal_lm.packing.segments import attention
from alignlab.policies.causal_lm.packing.tiles import Plan
from tests.data.ragged import draw, some_rows, token_rows
from tests.policies.packs import pack


def batch_of(rows):
    return collate(token_rows(rows), range(len(rows)))


def dense(batch, query, key, value, scale, window=None, cap=None):
    """Plain attention: every token looks at every other, under a mask."""
    key, value = (states.repeat_interleave(query.shape[1] // key.shape[1], dim=1) for states in (key, value))
    ahead = batch.positions[:, None] - batch.positions
    seen = (batch.prompt[:, None] == batch.prompt) & (ahead >= 0)
    seen &= (batch.row == -1) | (batch.row[:, None] == batch.row)
    if window:
        seen &= ahead < window
    scores = query @ key.mT * (query.shape[-1] ** -0.5 if scale is None else scale)
    if cap:
        scores = cap * torch.tanh(scores / cap)
    return (scores.masked_fill(~seen, -torch.inf).softmax(-1) @ value).transpose(1, 2)


def states(batch, heads, groups, seed=0):
    random = torch.Generator().manual_seed(seed)

    def draw(count):
        shape = 1, len(batch.tokens), count, 4
        return 2 * torch.randn(shape, generator=random, dtype=torch.float64).transpose(1, 2).requires_grad_()

    return [draw(count).detach().requires_grad_() for count in (heads, groups, groups)]


OPTIONS = [
    {},
    {"scaling": 0.7},
    {"sliding_window": 3},
    {"sliding_window": 0},
    {"sliding_window": 100},
    {"softcap": 1.5},
    {"softcap": 1.5, "scaling": 0.7, "sliding_window": 2},
]


def check(batch, options, heads=4, groups=2):
    inputs = states(batch, heads, groups)
    window = options.get("sliding_window")
    expected = dense(batch, *inputs, options.get("scaling"), window, options.get("softcap"))
    found, weights = attention("sdpa", torch.nn.Identity(), *inputs, None, packed=Plan(batch), **options)
    assert weights is None
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=1e-12)
    upstream = torch.linspace(-1, 1, found.numel(), dtype=found.dtype).cos().view_as(found)
    wanted = torch.autograd.grad((expected * upstream).sum(), inputs)
    for ours, theirs in zip(torch.autograd.grad((found * upstream).sum(), inputs), wanted, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-11, rtol=1e-11)


@pytest.mark.parametrize("call", [0, 2**7, 2**30])
@pytest.mark.parametrize("copy", [0, 10**9])
@pytest.mark.parametrize("options", OPTIONS)
def test_tiles_give_what_a_mask_over_all_tokens_gives(monkeypatch, options, call, copy):
    monkeypatch.setattr(plan, "CALL", dict.fromkeys(("cpu", "cuda"), call))
    monkeypatch.setattr(plan, "COPY", copy)
    check(batch_of([([5], [[7]]), *draw((3, 1, 2, 4), vocabulary=9, longest=8)]), options)


@pytest.mark.parametrize(("heads", "groups"), [(1, 1), (2, 2), (3, 1), (6, 3)])
def test_heads_may_share_keys(heads, groups):
    check(batch_of(draw((3, 2), vocabulary=9, longest=8)), {}, heads, groups)


@settings(max_examples=40, deadline=None)
@given(rows=some_rows, call=st.sampled_from([0, 100, 10**6]), options=st.sampled_from(OPTIONS))
def test_any_rows_are_attended_to_exactly(rows, call, options):
    before = plan.CALL
    plan.CALL = dict.fromkeys(before, call)
    try:
        check(batch_of(rows), options)
    finally:
        plan.CALL = before


def shapes(batch):
    return sorted((tile.causal, *tile.queries.shape, tile.keys.shape[1]) for tile in Plan(batch).tiles)


def test_few_long_responses_are_computed_one_by_one_and_short_ones_together():
    ids = lambda count: [1] * count  # noqa: E731
    long = batch_of([(ids(100), [ids(300)] * 4)])
    assert shapes(long) == [(False, 4, 300, 400), (True, 1, 100, 100)]
    short = batch_of([(ids(512), [ids(20), ids(30)])])
    assert shapes(short) == [(False, 1, 50, 562), (True, 1, 512, 512)]


def test_tiny_lists_are_computed_whole_in_one_call():
    assert shapes(batch_of([([1, 2], [[3], [4, 5]]), ([6], [[7]])])) == [(False, 2, 5, 5)]


def test_lists_of_like_size_share_calls_and_others_do_not():
    ids = lambda count: [1] * count  # noqa: E731
    batch = batch_of([(ids(size), [ids(40)] * 2) for size in (500, 502, 499, 30, 31)])
    assert [tile.queries.shape for tile in Plan(batch).tiles if tile.causal] == [(3, 502), (2, 31)]


def test_a_call_has_a_limit(monkeypatch):
    batch = batch_of([([1] * 9, [[2] * 5] * 2)] * 4)
    assert [tile.queries.shape for tile in Plan(batch).tiles] == [(4, 19)]
    monkeypatch.setattr(plan, "MOST", 19 * 19 * 3)
    assert [tile.queries.shape for tile in Plan(batch).tiles] == [(3, 19), (1, 19)]
    check(batch, {})


def test_prompts_of_a_list_keep_to_themselves():
    batch = pack([[([1, 2], [3]), ([4, 5, 6], [7, 8])], [([1], [2])]])
    check(batch, {})


def test_a_mask_is_made_once():
    (tile,) = Plan(batch_of([([1, 2], [[3], [4, 5]])])).tiles
    assert tile.mask(None, torch.float32) is tile.mask(None, torch.float32)
    assert tile.mask(2, torch.float32) is not tile.mask(None, torch.float32)
    assert tile.mask(None, torch.bfloat16).dtype == torch.bfloat16
