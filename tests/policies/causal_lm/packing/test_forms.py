"""Which form of a batch a model gets, and that others notice nothing of it."""

import copy
import logging

import pytest
import torch

from alignlab.data.batching.batches import collate
from alignlab.errors import ConfigError
from alignlab.policies.causal_lm.model import CausalLM
from alignlab.policies.causal_lm.packing import forms
from alignlab.policies.causal_lm.packing.layout import masked, padded
from alignlab.policies.causal_lm.packing.segments import packed
from alignlab.policies.causal_lm.packing.tiny_copy import tiny_settings
from tests.data.ragged import token_rows
from tests.policies.models import FAMILIES, FORMS, build, policy
from tests.policies.test_exact import ROWS, check


@pytest.fixture(autouse=True)
def messages(caplog):
    caplog.set_level(logging.INFO, logger="alignlab")
    return lambda: [record.getMessage() for record in caplog.records if record.name == forms.log.name]


@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_gets_the_fastest_form_that_is_exact(family, messages):
    model = build(family)
    form = forms.choose(model)
    (line,) = messages()
    if not FORMS[family]:
        assert form.lay is padded
        assert line.startswith(f"packing: none for {type(model).__name__} (")
    else:
        assert line.startswith(f"packing: {FORMS[family]} for {type(model).__name__}, exact on a tiny copy")
        assert form.lay is packed if FORMS[family] == "segments" else form.lay.func is masked


def test_off_is_padded_and_tries_nothing(monkeypatch, messages):
    monkeypatch.setattr(forms, "tiny_copy", None)
    assert forms.choose(build("llama"), "off").lay is padded
    assert messages() == [
        "packing: none for LlamaForCausalLM (model.packing=off); every response is read behind a copy of its prompt"
    ]


def test_on_refuses_what_is_not_exact():
    assert CausalLM(build("llama"), packing="on").packed
    with pytest.raises(
        ConfigError, match=r"Lfm2ForCausalLM cannot be packed exactly \(its layers are not of"
    ):
        CausalLM(build("lfm2"), packing="on")


def test_a_misspelt_choice_names_the_nearest():
    with pytest.raises(ConfigError, match=r"model\.packing=atuo: did you mean 'auto'"):
        forms.choose(build("llama"), packing="atuo")


def test_an_architecture_that_no_tiny_copy_can_be_made_of_is_padded(monkeypatch, messages):
    def fail(*_):
        raise ValueError("too odd\nfor words")

    monkeypatch.setattr(forms, "tiny_copy", fail)
    forms._tried.cache_clear()
    assert forms.choose(build("llama")).lay is padded
    assert "(no tiny copy of it: ValueError: too odd)" in messages()[0]
    forms._tried.cache_clear()


def test_a_form_that_is_a_little_off_is_found_out(monkeypatch, messages):
    off = forms.Form(lambda batch: packed(batch)._replace(source=packed(batch).source.roll(1)), forms.install)
    monkeypatch.setattr(forms, "candidates", lambda model: {"rolled": off})
    forms._tried.cache_clear()
    assert forms.choose(build("llama")).lay is padded
    assert "(rolled: off by " in messages()[0]
    forms._tried.cache_clear()


def test_one_trial_serves_all_models_of_a_config(monkeypatch):
    forms.choose(build("llama"))
    monkeypatch.setattr(forms, "tiny_copy", None)
    assert forms.choose(build("llama", seed=1)).lay is packed


def test_choosing_draws_no_random_number():
    model = build("gemma2")
    forms._tried.cache_clear()
    torch.manual_seed(5)
    before = torch.get_rng_state()
    forms.choose(model)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("family", ["llama", "mistral sliding", "gemma2", "gpt_oss"])
def test_the_model_itself_works_as_before(family, tmp_path):
    tokens, mask = (
        torch.tensor([[0, 0, 5, 6, 7, 8, 9], [3, 4, 5, 6, 7, 8, 9]]),
        torch.ones(2, 7, dtype=torch.long),
    )
    mask[0, :2] = 0
    before, after = build(family).eval(), CausalLM(build(family)).eval().model
    for options in ({}, {"attention_mask": mask}):
        logits = [model(tokens, **options).logits for model in (before, after)]
        assert torch.equal(*(values.nan_to_num() for values in logits))  # gemma2 gives NaN on padding
        drawn = [
            model.generate(tokens, do_sample=False, max_new_tokens=9, **options) for model in (before, after)
        ]
        assert torch.equal(*drawn)
    before.save_pretrained(tmp_path / "before")
    after.save_pretrained(tmp_path / "after")
    configs = [(tmp_path / name / "config.json").read_text() for name in ("before", "after")]
    assert configs[0] == configs[1]


def test_wrapping_twice_or_copying_keeps_the_form():
    model = policy("llama").model
    name = model.config._attn_implementation
    assert CausalLM(model).packed
    assert model.config._attn_implementation == name == "packed_sdpa"
    assert CausalLM(copy.deepcopy(model)).packed
    assert not copy.deepcopy(policy("llama", packing="off")).packed


def test_tiny_settings_keep_what_tells_the_layers_apart():
    config = build("gemma2").config
    config.num_hidden_layers, config.sliding_window = 6, 4096
    config.layer_types = ["sliding_attention"] * 2 + ["full_attention"] + ["sliding_attention"] * 3
    tiny = tiny_settings(config)
    assert tiny["layer_types"] == ["sliding_attention", "full_attention"]
    assert (tiny["num_hidden_layers"], tiny["sliding_window"], tiny["attn_logit_softcapping"]) == (2, 4, 3.0)
    assert tiny["vocab_size"] < config.vocab_size


@pytest.mark.filterwarnings("ignore:.*deprecated and will be removed in v6.*:FutureWarning")  # peft's
def test_a_model_inside_peft_is_packed_too():
    peft = pytest.importorskip("peft", reason="needs the package peft (pip install -e '.[peft]')")
    options = peft.LoraConfig(
        r=2, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM", init_lora_weights=False
    )
    model = CausalLM(peft.get_peft_model(build("llama"), options))
    assert model.packed
    check(model, ROWS, collate(token_rows(ROWS), range(len(ROWS))))
