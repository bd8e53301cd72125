"""The arithmetic of memory: parts add up, and go the way that strategies are chosen for."""

from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignlab.planner import memory as footprint
from alignlab.planner.memory import CONTEXT, GIB, NCCL, SPREADS, Elements, Footprint, Widths, Working

LLAMA_7B = Elements(6_738_415_616, 6_738_415_616, layer=202_383_360, outside=262_148_096)
MIXED, LOW = Widths(4.0, 2.0, 8.0), Widths(2.0, 2.0, 4.0)
IDLE = Working(0.0, 0.0, 0.0)
BUSY = Working(30e9, 13e9, 4e9)


def planned(strategy, ranks=8, model=LLAMA_7B, widths=MIXED, working=BUSY, **more):
    return footprint.training(model, widths, SPREADS[strategy], ranks, working, **more)


@given(st.sampled_from(sorted(SPREADS)), st.integers(1, 512))
def test_parts_add_up(strategy, ranks):
    found = planned(strategy, ranks, reference=1e9)
    assert found.total == pytest.approx(sum(getattr(found, field.name) for field in fields(Footprint)))
    assert all(getattr(found, field.name) >= 0 for field in fields(Footprint))


def test_a_single_gpu_by_hand():
    """AdamW in float32 under autocast: 16 bytes a weight, and its copy in bfloat16."""
    found = planned("single", 1)
    assert found.weights + found.gradients + found.optimizer == 16 * LLAMA_7B.all
    assert found.put_together == found.buffers == found.reference == 0
    assert (found.activations, found.casts, found.peak) == (30e9, 13e9, 4e9)
    assert found.cuda == pytest.approx(CONTEXT + 0.05 * 34e9)
    low = planned("single", 1, widths=LOW)
    assert low.weights + low.gradients + low.optimizer == 8 * LLAMA_7B.all


def test_what_each_strategy_divides():
    one = planned("single", 1)
    for strategy, divided in {
        "ddp": (),
        "fsdp": ("weights", "gradients", "optimizer"),
        "fsdp2": ("weights", "gradients", "optimizer"),
    }.items():
        found = planned(strategy, 8)
        for part in ("weights", "gradients", "optimizer"):
            share = 8 if part in divided else 1
            assert getattr(found, part) == pytest.approx(getattr(one, part) / share), (strategy, part)
    assert planned("ddp").buffers == 0
    assert planned("ddp").cuda - one.cuda == pytest.approx(NCCL)


def test_zero_by_stages():
    """In bfloat16: 2 bytes of weight, 4 of summed gradient, 4 of the optimizer's own weight, 8 of its states."""
    count = LLAMA_7B.all
    wanted = {
        "deepspeed_zero1": (2, 4, 12 / 8),
        "deepspeed_zero2": (2, 4 / 8, 12 / 8),
        "deepspeed_zero3": (2 / 8, 4 / 8, 12 / 8),
        "deepspeed_zero3_offload": (0, 4 / 8, 0),
    }
    for strategy, bytes_ in wanted.items():
        found = planned(strategy)
        assert (found.weights, found.gradients, found.optimizer) == pytest.approx([b * count for b in bytes_])
    on_host = footprint.host(LLAMA_7B, MIXED, SPREADS["deepspeed_zero3_offload"], 8)
    assert on_host == pytest.approx((2 + 12) * count / 8)
    assert footprint.host(LLAMA_7B, MIXED, SPREADS["deepspeed_zero3"], 8) == 0


@given(st.sampled_from(["fsdp", "fsdp2", "deepspeed_zero2", "deepspeed_zero3"]), st.integers(1, 64))
def test_more_ranks_take_less_each(strategy, ranks):
    assert planned(strategy, 2 * ranks + 1).total < planned(strategy, ranks + 1).total


@given(st.sampled_from(sorted(SPREADS)), st.floats(0, 1e11), st.floats(1, 1e11))
def test_more_activations_take_more(strategy, activations, more):
    less = planned(strategy, working=replace(BUSY, activations=activations))
    assert planned(strategy, working=replace(BUSY, activations=activations + more)).total > less.total


def test_adapters_are_small():
    lora = replace(LLAMA_7B, trainable=40_000_000)
    for strategy in SPREADS:
        full, found = (
            planned(strategy, model=LLAMA_7B, working=IDLE),
            planned(strategy, model=lora, working=IDLE),
        )
        assert found.gradients + found.optimizer <= 0.01 * 12 * LLAMA_7B.all, strategy
        assert found.total < full.total


def test_a_frozen_model_is_whole_or_spread():
    whole = footprint.frozen(LLAMA_7B, 2.0, 8, spread=False)
    assert whole == 2 * LLAMA_7B.all == footprint.frozen(LLAMA_7B, 2.0, 1, spread=True)
    spread = footprint.frozen(LLAMA_7B, 2.0, 8, spread=True)
    layers = LLAMA_7B.all - LLAMA_7B.outside
    assert spread == pytest.approx(2 * (layers / 8 + LLAMA_7B.outside + 2 * LLAMA_7B.layer))
    assert planned("fsdp2", reference=spread).total - planned("fsdp2").total == pytest.approx(spread)


def test_options_of_engines():
    apart = replace(SPREADS["fsdp2"], gradients=False)
    whole = replace(SPREADS["fsdp2"], stays_whole=True)
    plain = planned("fsdp2")
    made = footprint.training(LLAMA_7B, MIXED, apart, 8, BUSY)
    assert made.gradients == pytest.approx(8 * plain.gradients)
    made = footprint.training(LLAMA_7B, MIXED, whole, 8, BUSY)
    rest = LLAMA_7B.all - LLAMA_7B.put_together()
    assert made.put_together - plain.put_together == pytest.approx(2 * rest)


def test_the_pass_of_a_reference_has_no_gradients():
    found = footprint.scoring(2.0 * LLAMA_7B.all, 8, Working(1.0 * GIB, 0.0, 1.0 * GIB))
    assert found.gradients == found.optimizer == found.weights == 0
    assert found.total == pytest.approx(2 * LLAMA_7B.all + 2 * GIB + CONTEXT + NCCL + 0.1 * GIB)
