"""The memory that is planned is the memory that is taken, by torch's own account of every allocation."""

import dataclasses
from contextlib import nullcontext

import pytest
import torch
from torch.profiler import ProfilerActivity, profile
from transformers import AutoConfig, AutoModelForCausalLM

from alignlab.planner import memory as footprint
from alignlab.planner.growth import Lists, growth
from alignlab.planner.memory import SPREADS, Elements, Widths
from alignlab.planner.traced import Faked, Pass, even_batch
from alignlab.policies.causal_lm.adapter_settings import PeftSettings
from alignlab.policies.causal_lm.adapters import lora
from alignlab.policies.causal_lm.model import CausalLM
from tests.policies.packs import pack

WITHIN = 0.05
LLAMA = {
    "hidden_size": 128,
    "intermediate_size": 352,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 20000,
}
FAMILIES = {
    "llama": LLAMA,
    "gpt_neox": LLAMA | {"intermediate_size": 512, "num_key_value_heads": 4},
    "qwen2": LLAMA | {"tie_word_embeddings": True},
    "gpt2": {
        "n_embd": 128,
        "n_layer": 3,
        "n_head": 4,
        "vocab_size": 20000,
        "bos_token_id": 1,
        "eos_token_id": 2,
    },
}


def config_of(family):
    return AutoConfig.for_model(family, **FAMILIES[family])


def allocated(work):
    """The most bytes in use at a time, beyond those at the beginning."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as watched:
        work()
    events = [event for event in watched.profiler.kineto_results.events() if event.name() == "[memory]"]
    now = most = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        now += event.nbytes()
        most = max(most, now)
    return most


def told(run):
    """How a pass differs from the plainest."""
    named = [name for name in ("checkpointing", "autocast") if getattr(run, name)]
    return "-".join([*named, *([] if run.training else ["scoring"])]) or run.packing


def micro_batch(policy, batch, run):
    with torch.autocast("cpu", torch.bfloat16) if run.autocast else nullcontext():
        with torch.set_grad_enabled(run.training):
            logps = policy(batch).logps
        if run.training:
            logps.sum().backward()


def trained(config, run):
    policy = CausalLM(
        AutoModelForCausalLM.from_config(config, dtype=torch.float32), packing=run.packing
    ).train()
    if run.checkpointing:
        policy.model.activation_checkpointing_enable()
    return policy


@pytest.mark.parametrize(
    ("family", "responses", "run"),
    [
        *((family, 2, Pass(device="cpu", checkpointing=on)) for family in FAMILIES for on in (False, True)),
        ("llama", 1, Pass(device="cpu")),
        ("llama", 6, Pass(device="cpu", checkpointing=True)),
        ("llama", 4, Pass(device="cpu", autocast=True)),
        ("gpt2", 3, Pass(device="cpu", packing="off")),
        ("qwen2", 2, Pass(device="cpu", training=False)),
    ],
    ids=lambda value: told(value) if isinstance(value, Pass) else str(value),
)
def test_activations_are_as_measured(family, responses, run):
    """In a second micro-batch, with gradients of the first there."""
    config, batch = config_of(family), even_batch(5, responses, 48, 24)
    faked = Faked(lambda: AutoModelForCausalLM.from_config(config), run)
    policy = trained(config, run)
    assert policy.packed == faked.packed
    micro_batch(policy, batch, run)
    measured = allocated(lambda: micro_batch(policy, batch, run))
    assert faked.working(batch).peak == pytest.approx(measured, rel=WITHIN)


def test_adapters_are_as_measured():
    pytest.importorskip("peft")
    config, batch, run = config_of("llama"), even_batch(5, 2, 48, 24), Pass(device="cpu")

    def build():
        return lora(
            lambda: (AutoModelForCausalLM.from_config(config), None), PeftSettings("lora", r=4, alpha=8)
        )[0]

    policy = CausalLM(build()).train()
    micro_batch(policy, batch, run)
    measured = allocated(lambda: micro_batch(policy, batch, run))
    assert Faked(build, run).working(batch).peak == pytest.approx(measured, rel=WITHIN)


def test_a_whole_training_is_as_measured():
    """Weights, gradients, AdamW and activations together; those of 6 layers are planned from 2 and 4."""
    config, run, lists = config_of("llama"), Pass(device="cpu"), 4
    config.num_hidden_layers = 6

    def train():
        policy = trained(config, run)
        optimizer = torch.optim.AdamW(policy.parameters(), fused=True)
        for _ in range(2):
            for _ in range(2):
                micro_batch(policy, even_batch(lists, 2, 48, 24), run)
            optimizer.step()

    working = growth(config, AutoModelForCausalLM.from_config, Lists(2, 48, 24), run).at(lists)
    count = sum(weight.numel() for weight in AutoModelForCausalLM.from_config(config).parameters())
    model = Elements(count, count, layer=count, outside=0)
    moving = footprint.Working(working.kept, 0.0, working.peak - working.kept)
    planned = footprint.training(model, Widths(4.0, 4.0, 8.0), SPREADS["single"], 1, moving)
    assert planned.total - planned.cuda == pytest.approx(allocated(train), rel=WITHIN)


def test_layers_of_several_kinds_repeat():
    """Depths are whole periods of the kinds of layers."""
    kinds = ["sliding_attention", "full_attention"] * 3
    sizes = {"head_dim": 16, "sliding_window": 32, "layer_types": kinds, "num_hidden_layers": 6}
    config = AutoConfig.for_model("gemma2", **LLAMA | sizes)
    run = Pass(device="cpu")
    found = growth(config, AutoModelForCausalLM.from_config, Lists(2, 48, 16), run).at(1)
    direct = Faked(lambda: AutoModelForCausalLM.from_config(config), run).working(even_batch(1, 2, 48, 16))
    for field in dataclasses.fields(direct):
        assert getattr(found, field.name) == pytest.approx(getattr(direct, field.name), rel=0.02), field.name


def test_attention_over_padded_rows_is_quadratic_only_if_eager():
    def kept(attention, prompt):
        config = config_of("gpt_neox")
        model = Faked(
            lambda: AutoModelForCausalLM.from_config(config, attn_implementation=attention),
            Pass(device="cpu", packing="off"),
        )
        return model.working(even_batch(1, 1, prompt, 8)).kept

    assert kept("sdpa", 1016) / kept("sdpa", 504) < 2.5
    assert kept("eager", 1016) / kept("eager", 504) > 2.8


def test_even_batches_are_batches():
    batch = even_batch(3, 2, 5, 4)
    wanted = pack([[([0] * 5, [0] * 4)] * 2] * 3)
    for name in ("tokens", "positions", "prompt", "row", "slot"):
        assert torch.equal(getattr(batch, name), getattr(wanted, name)), name
