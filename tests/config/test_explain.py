"""Hydra's complaints come out short, with the nearest valid name."""

import sys

import pytest
from hydra.errors import ConfigCompositionException, HydraException, OverrideParseException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from alignlab.config.explain import explain, known_keys
from tests.config.compose import composed

MISSPELT = {
    ("objective=dpoo",): "there is no objective=dpoo: did you mean 'dpo'?",
    ("regularizers=[sft,lenght]",): "there is no regularizers=lenght: did you mean 'length'?",
    ("pipeline=[rankd]",): "did you mean 'ranked'?",
    ("logger=wandbx",): "did you mean 'wandb'?",
    ("experiment=lipo_ultra",): "did you mean 'lipo_ultrafeedback'?",
    ("strategy=ddpx",): "auto",
    ("objektive=dpo",): "did you mean 'objective'?",
    ("objective.loss.betaa=1",): "did you mean 'objective.loss.beta'?",
    ("objective=simpo", "objective.loss.gama=1"): "did you mean 'objective.loss.gamma'?",
    ("trainer.max_step=1",): "did you mean 'trainer.max_steps'?",
    ("objective=cdpo", "objective.loss.epsilon=0.2"): "objective.modifiers.label_smoothing.epsilon",
    ("regularizers.kl.weight=1",): "choose it first: regularizers=[kl]",
    ("regularizers=[kl]", "regularizers.kl.wait=1"): "did you mean 'regularizers.kl.weight'?",
    ("foo=1",): "valid names: cache_dir, ",
    ("data.xyz=1",): "valid names: data.columns, ",
    (
        "recipe=rlhf",
        "online.samples=8",
    ): "recipe=online; a stage that draws takes it by recipe.overrides={policy:[",
    ("recipe=online", "online.sampels=8"): "did you mean 'online.samples'?",
    ("peft.r=8",): "it belongs to peft=lora",
    ("learning_rate=5e-7",): "it is optimizer.lr here",
    ("objective=DPO",): "did you mean 'dpo'?",
    ("logger=none",): "for none, logger=[]",
    ("model.path=/my/model",): "it belongs to model=local",
    ("model=gpt2",): "model=local model.path=gpt2",
    ("model=org/name",): "there is no model=org/name: ",
    ("model=/my/model",): "model=local model.path=/my/model",
    ("data=/my/x.jsonl",): "there is no data=/my/x.jsonl: ",
    ("data=prefs.jsonl",): "data=local data.path=prefs.jsonl",
    ("data=org/name",): "data=local data.path=org/name",
    ("data=ultrafedback",): "did you mean 'ultrafeedback'?",
}


def complaint(monkeypatch, *overrides):
    monkeypatch.setattr(sys, "argv", ["train.py", *overrides])
    with pytest.raises((HydraException, OmegaConfBaseException)) as caught:
        composed(*overrides)
    return explain(caught.value)


@pytest.mark.parametrize("overrides", MISSPELT, ids=" ".join)
def test_misspelt_names(overrides, monkeypatch):
    said = complaint(monkeypatch, *overrides)
    assert MISSPELT[overrides] in said
    assert "\n" not in said


def test_several_values_outside_of_a_sweep():
    error = ConfigCompositionException("Ambiguous value for argument 'data.path=a,b'\n1. To use it as a list")
    said = explain(error)
    assert all(way in said for way in ("-m", "'data.path=[a,b]'", "'data.path=\"a,b\"'"))


def test_a_word_that_is_no_override():
    assert explain(OverrideParseException("nosuch", "missing EQUAL")) == "'nosuch': expected key=value"


def test_shared_settings_are_no_suggestion(monkeypatch):
    assert "knobs" not in complaint(monkeypatch, "data=knob")


def test_settings_beside_the_wrong_one_are_listed_and_no_others(monkeypatch):
    said = complaint(monkeypatch, "data.xyz=1")
    assert "data.max_length" in said
    assert "trainer" not in said


def test_values_left_open():
    missing = OmegaConf.create({"model": {"path": "???", "loader": "${model.path}"}})
    with pytest.raises(OmegaConfBaseException) as caught:
        OmegaConf.to_container(missing, resolve=True, throw_on_missing=True)
    assert explain(caught.value) == "this choice leaves a value open: set model.path=..."


def test_settings_that_others_share_are_no_choice():
    missing = OmegaConf.create({"data": {"name": "???"}})
    with pytest.raises(OmegaConfBaseException) as caught:
        OmegaConf.to_container(missing, throw_on_missing=True)
    said = explain(caught.value)
    assert "choose one of " in said
    assert "lab" in said
    assert "knobs" not in said


def test_known_keys_are_those_of_the_choices_made(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["train.py", "objective=simpo", "regularizers=[kl]"])
    keys = known_keys()
    assert {"objective.loss.gamma", "regularizers.kl.weight", "seed"} <= set(keys)
    assert "objective.loss.tau" not in keys
