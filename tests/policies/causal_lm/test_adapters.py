"""LoRA: starts as the model it is put into, is its own reference with the adapters off, and merges away."""

import shutil
from dataclasses import replace

import pytest
import torch

from alignlab.data.batching.batches import collate
from alignlab.errors import ConfigError
from alignlab.objective.load import load_objective
from alignlab.policies.causal_lm.adapter_settings import PeftSettings
from alignlab.policies.causal_lm.adapters import drop_out, lora, save_adapter, switched_off, with_adapter
from alignlab.policies.causal_lm.decoder import has_adapter, merge
from alignlab.policies.causal_lm.model import CausalLM
from alignlab.policies.causal_lm.without_adapter import WithoutAdapter
from alignlab.runs.folder import RunFolder
from alignlab.training.checkpointing import tensor_file
from alignlab.training.module import PreferenceModule
from alignlab.training.spec import ReferenceSpec
from alignlab.training.stage import run_stage
from tests.data.ragged import draw, token_rows
from tests.training.small import load_small, small_stage

pytest.importorskip("peft", reason="needs the package peft (pip install -e '.[peft]')")

BATCH = collate(token_rows(draw((2, 3), vocabulary=30, seed=1)), [0, 1])
WANTED = ["kl_reverse", "kl_forward"]


SMALL = PeftSettings("lora", r=4)
FORMS = {
    "all-linear": SMALL,
    "in the head": replace(SMALL, target_modules=["q_proj", "lm_head"]),
    "rank-stabilized": replace(SMALL, rslora=True),
    "dora": replace(SMALL, dora=True),
    "whole modules": replace(SMALL, modules_to_save=["embed_tokens", "lm_head"]),
    "one of two": replace(SMALL, modules_to_save=["lm_head"]),
    "dropout": replace(SMALL, dropout=0.5),
}
every_form = pytest.mark.parametrize("settings", FORMS.values(), ids=FORMS)


def load_tied():
    """The small model with one weight for embedding and head."""
    model, tokenizer = load_small()
    model.config.tie_word_embeddings = True
    model.tie_weights()
    assert model.lm_head.weight is model.model.embed_tokens.weight
    return model, tokenizer


def moved(settings=SMALL, load=load_small):
    """A policy whose adapters have learned something."""
    torch.manual_seed(0)
    model = lora(load, settings)[0]
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data += 0.3 * torch.randn_like(parameter)
    return CausalLM(model)


@pytest.mark.parametrize(
    ("settings", "names"), [(SMALL, {"lora"}), (FORMS["one of two"], {"lora", "lm_head"})]
)
def test_only_the_adapters_train(settings, names):
    model = lora(load_small, settings)[0]
    trained = [name for name, p in model.named_parameters() if p.requires_grad]
    assert has_adapter(model)
    assert {next(word for word in ("lora", "lm_head", name) if word in name) for name in trained} == names


@every_form
def test_it_starts_as_the_model_it_is_put_into(settings):
    start = CausalLM(load_small()[0])(BATCH).logps
    torch.testing.assert_close(CausalLM(lora(load_small, settings)[0])(BATCH).logps, start)


def test_a_rank_stabilized_adapter_is_scaled_by_the_root_of_its_rank():
    def change(settings):
        policy, start = moved(settings), CausalLM(load_small()[0])
        name = "base_model.model.model.layers.0.self_attn.q_proj"
        layer = policy.model.get_submodule(name)
        inputs = torch.ones(1, 16)
        return layer(inputs) - start.model.model.layers[0].self_attn.q_proj(inputs)

    plain, stabilized = change(SMALL), change(FORMS["rank-stabilized"])
    torch.testing.assert_close(stabilized, plain * 4**0.5)


@every_form
def test_without_its_adapters_it_is_the_reference(settings):
    policy, start = moved(settings), CausalLM(load_small()[0])
    policy.temperature = start.temperature = 0.7
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


def test_dropout_is_on_where_a_training_step_asks_for_it_alone():
    policy = moved(FORMS["dropout"])
    scored = policy(BATCH).logps
    drop_out(policy, on=True)
    assert not torch.allclose(policy(BATCH).logps, scored)
    drop_out(policy, on=False)
    assert torch.equal(policy(BATCH).logps, scored)


def test_an_evaluation_has_no_dropout_in_whatever_mode_it_begins():
    module = PreferenceModule(moved(FORMS["dropout"]), load_objective("simpo"), lambda _: None, steps=1)
    losses = [module.train(mode).evaluate([[BATCH]])["loss"] for mode in (False, True)]
    assert losses[0] == losses[1]


def test_dropout_in_a_head_that_is_computed_twice_is_refused():
    with pytest.raises(ConfigError, match=r"peft.dropout: the head"):
        lora(load_small, replace(FORMS["in the head"], dropout=0.1))


def test_adapters_are_on_again_after_an_error():
    policy = moved()
    before = policy(BATCH).logps
    with pytest.raises(RuntimeError), switched_off(policy.model):
        raise RuntimeError
    assert torch.equal(policy(BATCH).logps, before)


@pytest.mark.parametrize("load", [load_small, load_tied])
@every_form
def test_merged_it_is_a_plain_model(settings, load, tmp_path):
    policy = moved(settings, load)
    before = policy(BATCH).logps
    model = merge(policy.model)
    assert not has_adapter(model)
    torch.testing.assert_close(CausalLM(model)(BATCH).logps, before)
    model.save_pretrained(tmp_path)
    again, report = type(model).from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report.values())
    torch.testing.assert_close(CausalLM(again)(BATCH).logps, before)


@pytest.mark.parametrize("load", [load_small, load_tied])
@every_form
def test_a_saved_adapter_is_put_back_into_its_base(settings, load, tmp_path):
    policy = moved(settings, load)
    save_adapter(policy.model, tmp_path)
    again = CausalLM(with_adapter(load()[0], str(tmp_path)))
    assert torch.equal(again(BATCH).logps, policy(BATCH).logps)
    assert not any(parameter.requires_grad for parameter in again.parameters())


def test_an_adapter_goes_on_training_with_its_own_rank_and_modules(tmp_path):
    policy = moved(replace(SMALL, target_modules=["q_proj"]))
    save_adapter(policy.model, tmp_path)

    def load():
        return with_adapter(load_small()[0], str(tmp_path)), None

    model = lora(load, PeftSettings("lora", r=8))[0]
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    assert [p.shape for p in trained.values()] == [(4, 16), (16, 4)]
    assert all("q_proj.lora" in name for name in trained)
    assert torch.equal(CausalLM(model)(BATCH).logps, policy(BATCH).logps)
    with pytest.raises(ConfigError, match=r"peft.dropout=0.1"):
        lora(load, PeftSettings("lora", dropout=0.1))


def test_modules_that_are_not_there_are_an_error():
    with pytest.raises(
        ConfigError, match=r"has no module 'query_key_value'; its linear layers are named down_proj,"
    ):
        lora(load_small, PeftSettings(target_modules=["q_proj", "query_key_value"]))
    with pytest.raises(ConfigError, match=r"peft.target_modules=\[\]: no module"):
        lora(load_small, PeftSettings(target_modules=[]))
    with pytest.raises(ConfigError, match=r"names are a list, 'peft.target_modules=\[q_proj,v_proj\]'"):
        lora(load_small, PeftSettings(target_modules="q_proj,v_proj"))
    with pytest.raises(ConfigError, match=r"peft.modules_to_save: LlamaForCausalLM has no module 'head'"):
        lora(load_small, PeftSettings(modules_to_save=["head"]))


@pytest.mark.parametrize(("hyper", "mode"), [({}, "precomputed"), ({"regularizers": ["kl"]}, "adapter")])
def test_a_stage_trains_adapters_and_leaves_the_rest(hyper, mode, tmp_path):
    reference = ReferenceSpec("auto", "small", load_small, is_start=True, adapters_off=True)
    stage = small_stage(
        tmp_path, hyper=hyper, reference=reference, load_model=lambda: lora(load_small, SMALL)
    )
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


def test_a_stage_goes_on_with_its_adapters_and_their_dropout(tmp_path):
    def trained(folder):
        reference = ReferenceSpec("auto", "small", load_small, is_start=True, adapters_off=True)
        stage = small_stage(
            tmp_path, reference=reference, load_model=lambda: lora(load_small, FORMS["dropout"])
        )
        return dict(run_stage(stage, RunFolder(folder)).model.named_parameters())

    whole = trained(tmp_path / "whole")
    held = tensor_file.read(tmp_path / "whole/checkpoints/step-000003.ckpt")["state_dict"]
    assert held
    assert all("lora_" in name for name in held)
    shutil.copytree(tmp_path / "whole", tmp_path / "cut", symlinks=True)
    for file in (tmp_path / "cut/checkpoints").glob("step-000003*"):
        file.unlink()
    again = trained(tmp_path / "cut")
    assert all(torch.equal(weight, again[name]) for name, weight in whole.items())
