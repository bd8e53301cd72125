"""Attention in one kernel: the kernel's own arithmetic on the CPU, in float64, and what happens where it fails."""

import logging
from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.attention import flex_attention as torch_flex
from torch.utils._python_dispatch import _disable_current_modes

from alignlab.data.batching.batches import collate
from alignlab.policies.causal_lm.model import CausalLM
from alignlab.policies.causal_lm.packing import flex
from alignlab.policies.causal_lm.packing.blocks import BLOCK, Blocks
from alignlab.policies.causal_lm.packing.segments import attention
from alignlab.policies.causal_lm.packing.tiny_copy import Exact, batch_of
from tests.data.ragged import some_rows, token_rows
from tests.policies.causal_lm.packing.test_tiles import OPTIONS, dense, states
from tests.policies.models import FORMS, assert_same, build, gradients_of, policy
from tests.policies.packs import pack
from tests.policies.test_exact import ROWS, check, weighted

BATCH = collate(token_rows(ROWS), range(len(ROWS)))
PACKED = [family for family, form in FORMS.items() if form == "segments"]


class Plainly(torch.autograd.Function):
    """Flex attention in plain operations, forward and backward outside of the modes that tests are in."""

    calls = 0

    @staticmethod
    def forward(ctx, options, *states):
        Plainly.calls += 1
        ctx.options = options
        ctx.save_for_backward(*states)
        with _disable_current_modes():
            return torch_flex.flex_attention(*states, **options)

    @staticmethod
    def backward(ctx, gradient):
        states = [each.detach().requires_grad_() for each in ctx.saved_tensors]
        with _disable_current_modes(), torch.enable_grad():
            output = torch_flex.flex_attention(*states, **ctx.options)
            return None, *torch.autograd.grad(output, states, gradient)


def plainly(*states, **options):
    return Plainly.apply(options, *states)


@pytest.fixture(autouse=True)
def plain_kernel(monkeypatch):
    """The kernel's arithmetic without a compiler and a GPU, also in float64."""
    monkeypatch.setattr(flex, "kernel", lambda: plainly)
    monkeypatch.setattr(flex, "_exact", cache(flex._exact.__wrapped__))
    monkeypatch.setattr(flex, "ROUNDING", flex.ROUNDING | {torch.float64: 1e-13})
    monkeypatch.setattr(flex, "TRIALS", [[(140, [3, 2]), (1, [1])]])
    monkeypatch.setattr(torch_flex, "_validate_device", lambda *_: None)
    monkeypatch.setattr(torch_flex, "_FLEX_ATTENTION_DISABLE_COMPILE_DEBUG", True)
    monkeypatch.setattr(Plainly, "calls", 0)


@pytest.fixture
def trusted(monkeypatch):  # no trial
    monkeypatch.setattr(flex, "_exact", lambda call: True)


@pytest.fixture
def messages(caplog):
    caplog.set_level(logging.INFO, logger=flex.log.name)
    return lambda: [record.getMessage() for record in caplog.records if record.name == flex.log.name]


def scored(model, batch):
    """Log-probabilities of responses, and the gradients of all parameters."""
    with Exact():
        logps = model(batch).logps[batch.where]
    return logps.detach(), gradients_of(model, lambda: weighted(logps))


def assert_as_by_segments(monkeypatch, model, batch):
    """Whatever attention is by on a GPU; how often the kernel was called for it."""
    expected, before = scored(model, batch), Plainly.calls
    monkeypatch.setattr(flex, "DEVICES", ("cpu",))
    found = scored(model, batch)
    torch.testing.assert_close(found[0], expected[0], atol=1e-12, rtol=1e-12)
    assert_same(found[1], expected[1])
    return Plainly.calls - before


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("family", PACKED)
def test_log_probabilities_and_gradients_are_those_of_segments(monkeypatch, family):
    assert assert_as_by_segments(monkeypatch, policy(family), BATCH) == 2  # layers


@pytest.mark.usefixtures("trusted")
def test_they_are_those_of_one_response_at_a_time(monkeypatch):
    model = policy("mistral sliding")
    monkeypatch.setattr(flex, "DEVICES", ("cpu",))
    check(model, ROWS, BATCH)
    assert Plainly.calls == 2


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("family", ["llama", "mistral sliding"])
def test_the_responses_of_a_list_may_continue_different_prompts(monkeypatch, family):
    lists = [[([1, 2], [3]), ([4, 5, 6, 7, 8, 9], [7, 8])], [([1], [2]), ([5] * 99, [6] * 40), ([1], [3, 4])]]
    assert assert_as_by_segments(monkeypatch, policy(family), pack(lists)) == 2


@settings(max_examples=25, deadline=None)
@given(rows=some_rows, window=st.sampled_from([None, 1, 3, 200]), long=st.integers(1, 299))
def test_blocks_hold_what_tokens_see(rows, window, long):
    rows = [*rows, ([1] * long, [[2] * (600 - 2 * long), [3]])]
    batch = collate(token_rows(rows), range(len(rows)))
    blocks, count = Blocks(batch), len(batch.tokens)
    mask = blocks.mask(window)
    assert blocks.length % BLOCK == 0
    assert max(count, 2 * BLOCK) <= blocks.length < count + 2 * BLOCK
    tokens = torch.arange(blocks.length)
    seen = mask.mask_mod(tokens, tokens, tokens[:, None], tokens)
    ahead = batch.positions[:, None] - batch.positions
    wanted = (batch.prompt[:, None] == batch.prompt) & (ahead >= 0)
    wanted &= (batch.row == -1) | (batch.row[:, None] == batch.row)
    wanted &= ahead < (window or count)
    assert torch.equal(seen[:count, :count], wanted)
    assert torch.equal(seen[count:, count:], torch.eye(blocks.length - count, dtype=torch.bool))
    assert not seen[:count, count:].any()
    assert not seen[count:, :count].any()
    by_block = seen.view(blocks.length // BLOCK, BLOCK, -1, BLOCK)
    some = dense_blocks(mask.kv_num_blocks, mask.kv_indices)
    whole = dense_blocks(mask.full_kv_num_blocks, mask.full_kv_indices)
    assert not (some & whole).any()
    assert torch.equal(some | whole, by_block.any(3).any(1))
    assert not (whole & ~by_block.all(3).all(1)).any()


def dense_blocks(counts, order):
    """Which blocks of keys are listed for each block of queries."""
    listed = torch.zeros(order.shape[2:], dtype=torch.bool)
    for query, (count, keys) in enumerate(zip(counts[0, 0], order[0, 0], strict=True)):
        listed[query, keys[:count].long()] = True
    return listed


def test_blocks_that_all_see_need_no_mask():
    blocks = Blocks(batch_of([(3 * BLOCK, [2 * BLOCK])]))
    assert blocks.mask(None).full_kv_num_blocks.tolist() == [[[0, 1, 2, 3, 4]]]
    assert blocks.mask(None).kv_num_blocks.tolist() == [[[1] * 5]]
    assert blocks.mask(BLOCK).full_kv_num_blocks.tolist() == [[[0] * 5]]
    assert blocks.mask(None) is blocks.mask(None)


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("options", OPTIONS)
def test_it_gives_what_a_mask_over_all_tokens_gives(options):
    batch = batch_of([(1, [1]), (4, [3, 5, 1])])
    blocks, inputs = Blocks(batch), states(batch, 4, 2)
    more = 0, 0, 0, blocks.length - len(batch.tokens)
    expected = dense(batch, *inputs, *map(options.get, ("scaling", "sliding_window", "softcap")))
    padded = [torch.nn.functional.pad(each, more) for each in inputs]
    found, _ = attention("sdpa", torch.nn.Identity(), *padded, None, packed=blocks, **options)
    found = found[:, : len(batch.tokens)]
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=1e-12)
    upstream = torch.linspace(-1, 1, found.numel(), dtype=found.dtype).cos().view_as(found)
    wanted = torch.autograd.grad((expected * upstream).sum(), inputs)
    for ours, theirs in zip(torch.autograd.grad((found * upstream).sum(), inputs), wanted, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-11, rtol=1e-11)


def test_a_kernel_is_tried_before_it_is_used_in_the_midst_of_anything(monkeypatch, messages):
    model = CausalLM(build("gemma2")).train()
    model.model.activation_checkpointing_enable()
    assert assert_as_by_segments(monkeypatch, model, BATCH) > 4
    with torch.inference_mode():
        model(BATCH)
    (line,) = messages()
    assert line == (
        "attention: flex attention for 2 heads of 8 (1 of keys) in float64 on cpu, "
        "exact on a trial forward and backward"
    )


def broken(how):
    class Backward(torch.autograd.Function):
        @staticmethod
        def forward(ctx, states):
            return states.clone()

        @staticmethod
        def backward(ctx, gradient):
            if how == "raises going back":
                raise RuntimeError("no such kernel\nat all")
            return gradient * 1.01

    def kernel(*inputs, **options):
        if how == "raises":
            raise ValueError("no such head")
        output = plainly(*inputs, **options)
        return output.roll(1, dims=-2) if how == "is off" else Backward.apply(output)

    return kernel


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("raises", "ValueError: no such head"),
        ("raises going back", "RuntimeError: no such kernel"),
        ("is off", "off by "),
        ("is off going back", "off by 0.01"),
    ],
)
def test_a_kernel_that_fails_its_trial_is_not_used(monkeypatch, messages, how, reason):
    monkeypatch.setattr(flex, "kernel", lambda: broken(how))
    assert_as_by_segments(monkeypatch, policy("llama"), BATCH)
    (line,) = messages()
    assert line.startswith(
        "attention: scaled dot products by segments for 2 heads of 8 (1 of keys) in float64"
    )
    assert f"(flex attention: {reason}" in line


def test_there_is_no_kernel_for_wide_floats_or_without_a_compiler(monkeypatch):
    monkeypatch.undo()
    call = flex.Call(torch.device("cpu"), torch.float64, 2, 2, 16, 16, None, None)
    assert flex._fault(call) == "it computes in float32 at most"
    flex.kernel.cache_clear()
    with torch._dynamo.config.patch(disable=True):
        assert (
            flex._fault(call._replace(dtype=torch.float32)) == "RuntimeError: torch.compile is switched off"
        )


def test_autocast_tells_what_it_computes_in(messages):
    batch = batch_of([(4, [3, 5])])
    blocks = Blocks(batch)
    query, key, value = (torch.randn(1, 2, blocks.length, 16) for _ in range(3))
    with torch.autocast("cpu", torch.bfloat16):
        found, _ = attention("sdpa", torch.nn.Identity(), query, key, value.bfloat16(), None, packed=blocks)
        expected, _ = attention(
            "sdpa", torch.nn.Identity(), query, key, value.bfloat16(), None, packed=blocks.plan
        )
    assert "in bfloat16 on cpu, exact" in messages()[0]
    assert found.dtype == expected.dtype == torch.bfloat16
    torch.testing.assert_close(found[:, : len(batch.tokens)], expected, atol=0.03, rtol=0.03)
