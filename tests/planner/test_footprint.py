"""From overrides to the memory of a GPU. What a model keeps is made up here; policies/test_traced.py measures it."""

import json

import numpy as np
import pytest
import torch

from alignlab.errors import ConfigError
from alignlab.planner import footprint
from alignlab.planner.footprint import forecast, knobs, optimizer_states
from alignlab.planner.growth import Growth, Lists
from alignlab.planner.memory import CARDS, GIB

PAIRS = Lists(2, 512, 256)
ADAMW = {"_target_": "torch.optim.AdamW", "lr": "auto", "betas": [0.9, 0.999], "fused": True}


@pytest.fixture(autouse=True)
def asked(monkeypatch):
    """Every pass that was asked for; a list keeps 1 GiB in training, and 0.1 GiB computed again or scored."""
    passes = []

    def growth(subject, lists, run):
        passes.append((subject, run))
        kept = GIB * (0.1 if run.checkpointing or not run.training else 1.0)
        zero, lists = np.zeros(2), np.array([1.0, 2.0])
        found = {"kept": kept * lists, "forward": zero, "head": zero, "backward": zero, "end": zero}
        return Growth(lists, found, packed=run.packing != "off")

    monkeypatch.setattr(footprint, "growth_of", growth)
    return passes


def planned(*overrides, lists=PAIRS, shape="llama-7b"):
    return forecast(overrides, lists, shape)


def test_micro_batches_are_whole_lists():
    found = planned("data.microbatch_tokens=5000")
    assert (found.list_tokens, found.lists) == (1024, 4)
    assert planned("data.microbatch_tokens=100").lists == 1
    padded = planned("data.microbatch_tokens=5000", "model.packing=off")
    assert (padded.list_tokens, padded.lists) == (1536, 3)


def test_the_largest_micro_batch_fits_and_the_next_does_not():
    found = planned("strategy=fsdp2", "trainer.devices=8")
    for room in CARDS.values():
        lists = found.largest(room) // found.list_tokens
        assert found.training(lists).total <= room < found.training(lists + 1).total
    assert planned("trainer.precision=32-true").largest(CARDS["80 GB"]) == 0


def test_precision_and_strategy_decide_on_dtypes(asked):
    for overrides, dtype, autocast in (
        ((), torch.float32, True),
        (("trainer.precision=32-true",), torch.float32, False),
        (("trainer.precision=bf16-true",), torch.bfloat16, False),
        (("strategy=fsdp2", "trainer.devices=2"), torch.bfloat16, True),
        (("strategy=deepspeed_zero2", "trainer.devices=2"), torch.bfloat16, False),
        (
            ("strategy=deepspeed_zero2", "trainer.devices=2", "trainer.precision=32-true"),
            torch.float32,
            False,
        ),
    ):
        found = planned(*overrides)
        subject, run = asked[0]
        assert (subject.dtype, run.autocast) == (dtype, autocast), overrides
        assert found.widths.stored == (2.0 if "bf16-true" in str(overrides) else 4.0)
        asked.clear()


def test_strategy_auto_and_ranks():
    assert (planned().strategy, planned().ranks) == ("single", 1)
    found = planned("trainer.devices=8", "trainer.num_nodes=2")
    assert (found.strategy, found.ranks) == ("ddp", 16)


def test_references(asked):
    precomputed = planned()
    assert precomputed.reference == "precomputed"
    assert precomputed.training().reference == 0
    assert precomputed.scoring().reference == pytest.approx(4 * precomputed.elements.all)
    live = planned("reference=live")
    assert live.scoring() is None
    assert live.training().reference == pytest.approx(4 * live.elements.all)
    spread = planned("reference=live", "strategy=fsdp2", "trainer.devices=8")
    assert spread.training().reference < live.training().reference / 3
    assert planned("objective=simpo").reference == "none"
    assert planned("reference=live", "peft=lora").elements.all > live.elements.all


def test_whole_distributions_only_where_they_are_asked_for(asked):
    planned()
    assert {run.names for _, run in asked} == {("logps",)}
    asked.clear()
    assert planned("objective=tdpo1").reference == "live"
    assert "kl_forward" in asked[0][1].names or "kl_reverse" in asked[0][1].names


def test_lora_is_small(asked):
    full, found = planned(), planned("peft=lora", "peft.r=8")
    assert found.elements.trainable < 0.01 * full.elements.all
    assert found.training().optimizer < 0.01 * full.training().optimizer
    assert found.reference == "precomputed"
    assert planned("peft=lora", "reference=adapter").training().reference == 0


def test_engine_options():
    lines = "strategy=fsdp2", "trainer.devices=8"
    apart = planned(*lines, "strategy.engine.reduce=last").training()
    assert apart.gradients == pytest.approx(8 * planned(*lines).training().gradients)
    assert planned(*lines, "strategy.engine.cpu_offload=true").host > 0


@pytest.mark.parametrize(
    ("optimizer", "dtype", "bytes_"),
    [
        (ADAMW, torch.float32, 8),
        (ADAMW, torch.bfloat16, 4),
        ({"_target_": "torch.optim.RMSprop", "lr": 1.0}, torch.float32, 4),
        ({"_target_": "torch.optim.SGD", "lr": 1.0}, torch.float32, 0),
    ],
)
def test_optimizer_states(optimizer, dtype, bytes_):
    assert optimizer_states(optimizer, dtype) == bytes_


def test_knobs_bring_it_down():
    line = ("trainer.devices=8", "reference=live", "data.microbatch_tokens=8192")
    now = planned(*line)
    ways = dict(knobs(line, PAIRS, "llama-7b", now))
    assert ways.keys() >= {
        "trainer.gradient_checkpointing=true",
        "reference=precomputed",
        "strategy=fsdp2",
        "peft=lora",
    }
    assert all(way.training().total < now.training().total for way in ways.values())
    assert "reference=precomputed" not in dict(
        knobs(("objective=tdpo1",), PAIRS, "llama-7b", planned("objective=tdpo1"))
    )


def test_a_folder_with_no_more_than_a_config(tmp_path):
    sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}
    settings = {"model_type": "llama", "vocab_size": 100, "tie_word_embeddings": False, **sizes}
    (tmp_path / "config.json").write_text(json.dumps(settings))
    found = planned("model=local", f"model.path={tmp_path}", shape=None)
    attention, mlp, norms = 4 * 64 * 64, 3 * 64 * 128, 2 * 64
    assert found.elements.layer == attention + mlp + norms
    assert found.elements.all == 2 * found.elements.layer + 2 * 100 * 64 + 64
    assert found.elements.outside == 2 * 100 * 64 + 64


@pytest.mark.parametrize(
    ("overrides", "shape", "message"),
    [
        ([], "llama-8", "did you mean 'llama-8b'"),
        ([], None, "no model to plan for"),
        (["model=local", "model.path=/nowhere"], None, "no config.json there"),
        (["model=local"], None, "model.path"),
        (["trainer.devcies=8"], "llama-7b", "devices"),
        (["trainer.devices=eight"], "llama-7b", "trainer.devices=eight: expected a whole number"),
        (["strategy=fsdp3"], "llama-7b", "fsdp"),
        (["reference=none"], "llama-7b", "needs a reference"),
    ],
)
def test_errors_say_what_to_type(overrides, shape, message):
    with pytest.raises(ConfigError, match=message):
        forecast(overrides, PAIRS, shape)
