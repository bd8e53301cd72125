"""LoRA: starts as the model it is put into, is its own reference with the adapters off, and merges away."""

import pytest
import torch

from alignlab.data.batching.batches import collate
from alignlab.errors import ConfigError
from alignlab.policies.causal_lm.adapters import WithoutAdapter, lora, switched_off
from alignlab.policies.causal_lm.decoder import has_adapter, merge
from alignlab.policies.causal_lm.model import CausalLM
from alignlab.runs.folder import RunFolder
from alignlab.training.stage import run_stage
from tests.data.ragged import draw, token_rows
from tests.training.small import load_small, small_stage

pytest.importorskip("peft", reason="needs the package peft (pip install 'alignlab[peft]')")

BATCH = collate(token_rows(draw((2, 3), vocabulary=30, seed=1)), [0, 1])
WANTED = ["kl_reverse", "kl_forward"]


def moved(target_modules="all-linear"):
    """A policy whose adapters have learned something."""
    torch.manual_seed(0)
    model = lora(load_small, r=4, target_modules=target_modules)[0]
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data += 0.3 * torch.randn_like(parameter)
    return CausalLM(model)


def test_only_the_adapters_train():
    model = lora(load_small, r=4)[0]
    names = [name for name, p in model.named_parameters() if p.requires_grad]
    assert has_adapter(model)
    assert names
    assert all("lora" in name for name in names)


def test_it_starts_as_the_model_it_is_put_into():
    assert torch.equal(CausalLM(lora(load_small)[0])(BATCH).logps, CausalLM(load_small()[0])(BATCH).logps)


@pytest.mark.parametrize("target_modules", ["all-linear", ["q_proj", "lm_head"]])
def test_without_its_adapters_it_is_the_reference(target_modules):
    policy, start = moved(target_modules), CausalLM(load_small()[0])
    assert not torch.allclose(policy(BATCH).logps, start(BATCH).logps)
    found, gradients = [], []
    for reference in (WithoutAdapter(policy), start):
        scores = policy(BATCH, reference=reference, wanted=WANTED)
        found.append(scores.signals(BATCH))
        (scores.logps.sum() + scores.more["kl_reverse"].sum()).backward()
        gradients.append([p.grad.clone() for p in policy.parameters() if p.requires_grad])
        policy.zero_grad()
    for name, value in found[0].items():
        torch.testing.assert_close(value, found[1][name])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


def test_adapters_are_on_again_after_an_error():
    policy = moved()
    before = policy(BATCH).logps
    with pytest.raises(RuntimeError), switched_off(policy.model):
        raise RuntimeError
    assert torch.equal(policy(BATCH).logps, before)


def test_merged_it_is_a_plain_model(tmp_path):
    policy = moved()
    before = policy(BATCH).logps
    model = merge(policy.model)
    assert not has_adapter(model)
    assert {n for n, _ in model.named_parameters()} == {n for n, _ in load_small()[0].named_parameters()}
    torch.testing.assert_close(CausalLM(model)(BATCH).logps, before)
    model.save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path)
    torch.testing.assert_close(CausalLM(again)(BATCH).logps, before)


def test_modules_that_are_not_there_are_an_error():
    with pytest.raises(ConfigError, match=r"peft.target_modules=\['nope'\]"):
        lora(load_small, target_modules=["nope"])


@pytest.mark.parametrize(("hyper", "mode"), [({}, "precomputed"), ({"regularizers": ["kl"]}, "adapter")])
def test_a_stage_trains_adapters_and_leaves_the_rest(hyper, mode, tmp_path):
    stage = small_stage(tmp_path, hyper=hyper, load_model=lambda: lora(load_small, r=4))
    result = run_stage(stage, RunFolder(tmp_path))
    assert result.facts["reference"]["mode"] == mode
    assert result.initial["val/rewards/margin"] == pytest.approx(0, abs=1e-5)
    assert result.final["val/rewards/margin"] != result.initial["val/rewards/margin"]
    start = dict(load_small()[0].named_parameters())
    for name, parameter in result.model.named_parameters():
        if "lora" not in name:
            assert torch.equal(
                parameter, start[name.removeprefix("base_model.model.").replace(".base_layer", "")]
            )
