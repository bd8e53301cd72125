"""A model folder in the place of a choice of the group `model`."""

import json

import pytest
import torch
from safetensors.torch import save_file

from alignlab.config.model_words import with_model_folder
from alignlab.errors import ConfigError


def folder(path, **config):
    path.mkdir()
    (path / "config.json").write_text(json.dumps(config))
    return path


def classifier(path, labels=1, **more):
    names = {str(label): f"LABEL_{label}" for label in range(labels)}
    return folder(path, architectures=["LlamaForSequenceClassification"], id2label=names, **more)


def test_choices_and_other_words_stay():
    for words in (["model=tiny", "data=lab"], ["data=lab"], ["model=smolm2"], ["model.path=/x"]):
        assert with_model_folder(words) == words


def test_a_folder_says_which_policy_it_holds(tmp_path):
    language = folder(tmp_path / "lm", architectures=["LlamaForCausalLM"])
    assert with_model_folder([f"model={language}", "data=lab"]) == [
        "model=local",
        f"model.path='{language}'",
        "data=lab",
    ]
    reward = with_model_folder([f"model={classifier(tmp_path / 'rm')}"])
    assert reward[:2] == ["policy=reward_model", "objective=bradley_terry"]
    pairs = classifier(tmp_path / "gpm", 6, alignlab_preferences={"normalize": True})
    assert with_model_folder([f"model={pairs}"])[:4] == [
        "policy=preference_model",
        "policy.dimension=6",
        "policy.normalize=true",
        "objective=gpm",
    ]
    sizes = {"width": 4, "layers": 1, "dropout": 0.2, "temperature": 10.0}
    rated = {"names": ["quality", "length"], "verbosity": "length", **sizes}
    assert with_model_folder([f"model={classifier(tmp_path / 'armo', 2, alignlab_attributes=rated)}"])[
        :8
    ] == [
        "policy=attribute_model",
        "policy.attributes=['quality','length']",
        "policy.verbosity='length'",
        "policy.fit=attributes",
        "policy.gate_width=4",
        "policy.gate_layers=1",
        "policy.temperature=10.0",
        "objective=bradley_terry",
    ]
    classes = classifier(tmp_path / "p2c", 2, alignlab_classes=["bad", "good"])
    assert with_model_folder([f"model={classes}"])[:3] == [
        "policy=classifier",
        "policy.classes=['bad','good']",
        "objective=p2c",
    ]
    users = classifier(tmp_path / "pal", 8, alignlab_users=["an na", "ben"])
    save_file({"prototypes": torch.zeros(3, 4), "logits": torch.zeros(2, 3)}, users / "user_head.safetensors")
    assert with_model_folder([f"model={users}"])[:6] == [
        "policy=user_model",
        "policy.users=['an na','ben']",
        "policy.form=A",
        "policy.prototypes=3",
        "policy.width=8",
        "objective=pal",
    ]


def test_what_is_typed_stays_and_a_folder_that_tells_nothing_is_refused(tmp_path):
    reward, other = classifier(tmp_path / "rm"), classifier(tmp_path / "many", 3)
    typed = with_model_folder([f"model={reward}", "objective=regression"])
    assert typed[0] == "policy=reward_model"
    assert "objective=bradley_terry" not in typed
    with pytest.raises(ConfigError, match="a classifier of several labels, and no reward model"):
        with_model_folder([f"model={other}"])
    assert with_model_folder([f"model={other}", "policy=mine"])[0] == "model=local"
