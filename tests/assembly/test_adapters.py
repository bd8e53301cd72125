"""Adapters in a config: what a run from an adapter starts from, and is compared with; what cannot go together."""

import pytest
import torch

from alignlab.assembly import check
from alignlab.assembly.build import build_reference, start_loader
from alignlab.policies.causal_lm.decoder import has_adapter
from tests.config.compose import composed, problem
from tests.training.small import load_small

pytest.importorskip("peft", reason="needs the package peft (pip install -e '.[peft]')")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """The folders of a model, and of an adapter of it that has learned something."""
    from alignlab.policies.causal_lm.adapter_settings import PeftSettings
    from alignlab.policies.causal_lm.adapters import lora, save_adapter

    folder = tmp_path_factory.mktemp("models")
    model, tokenizer = load_small()
    model.save_pretrained(folder / "base")
    tokenizer.save_pretrained(folder / "base")
    model.name_or_path = str(folder / "base")
    adapted, _ = lora(lambda: (model, tokenizer), PeftSettings("lora", r=2))
    for name, weight in adapted.named_parameters():
        weight.data += 0.1 * ("lora_B" in name)
    save_adapter(adapted, folder / "adapter")
    return folder


def logits(model):
    return model(input_ids=torch.arange(3, 9)[None]).logits


def config_of(path, *overrides):
    return composed("data=hh_rlhf", "model=local", f"model.path={path}", *overrides)


@pytest.mark.parametrize("peft", ["none", "lora"])
def test_the_reference_of_a_run_from_an_adapter_has_that_adapter(peft, folders):
    config = config_of(folders / "adapter", f"peft={peft}")
    assert problem(config) == ""
    start, reference = start_loader(config)()[0], build_reference(config)
    assert reference.is_start
    assert not reference.adapters_off
    assert torch.equal(logits(reference.load()[0]), logits(start))
    assert not torch.allclose(logits(start), logits(start_loader(config_of(folders / "base"))()[0]))


def test_an_adapter_is_merged_where_all_weights_train(folders):
    model = start_loader(config_of(folders / "adapter"))()[0]
    assert not has_adapter(model)
    assert all(weight.requires_grad for weight in model.parameters())


def test_an_adapter_goes_on_where_adapters_train(folders):
    model = start_loader(config_of(folders / "adapter", "peft=lora"))()[0]
    assert all(weight.requires_grad == ("lora_" in name) for name, weight in model.named_parameters())


def test_new_adapters_switched_off_are_the_reference(folders):
    assert build_reference(config_of(folders / "base", "peft=lora")).adapters_off
    assert not build_reference(config_of(folders / "base")).adapters_off
    other = config_of(folders / "base", "peft=lora", f"reference.path={folders / 'adapter'}")
    assert not build_reference(other).adapters_off
    assert not has_adapter(build_reference(other).load()[0])


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["reference=adapter"], "a model that is no adapter itself"),
        (["peft.dropout=2"], "peft.dropout=2: expected a share of at least 0"),
        (["peft.export=both"], "peft.export=both"),
        (
            ["policy=reward_model", "objective=bradley_terry", "peft.export=adapter"],
            "policy=reward_model has a head",
        ),
    ],
)
def test_what_adapters_cannot_do(overrides, said, folders):
    assert said in problem(config_of(folders / "adapter", "peft=lora", *overrides))


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ([], "peft=qlora computes with 4-bit weights on an NVIDIA GPU"),
        (["peft.export=merged"], "keep peft.export=adapter"),
        (["strategy=fsdp2"], "strategy=fsdp2 spreads weights"),
    ],
)
def test_what_4_bits_cannot_do(overrides, said, folders, monkeypatch):
    monkeypatch.setattr(check, "version", lambda package: "1")
    assert said in problem(config_of(folders / "base", "peft=qlora", "trainer.accelerator=cpu", *overrides))
    tiny = "peft=qlora loads a folder or a hub id in 4 bits, not model=tiny"
    assert tiny in problem(composed("data=lab", "peft=qlora", "trainer.accelerator=cpu"))


def test_4_bits_need_a_package(folders, monkeypatch):
    def absent(package):
        raise check.PackageNotFoundError(package)

    monkeypatch.setattr(check, "version", absent)
    assert "pip install -e '.[qlora]'" in problem(config_of(folders / "base", "peft=qlora"))
