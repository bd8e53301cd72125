"""The model card: what it says, and that tools can read it."""

import os

import pytest
import yaml

from alignlab.policies.causal_lm.model import CausalLM
from alignlab.runs.export import Trained, base_licence, card, data_facts, export, model_card
from tests.training.small import load_small


def trained(**changes):
    values = {
        "task": "text-classification",
        "objective": "ipo",
        "hyper": {"tau": 0.25},
        "terms": ["sft"],
        "data": {"ultrafeedback": ("UltraFeedback: rated completions", "MIT")},
        "pipeline": ["pairs"],
        "base": "HuggingFaceTB/SmolLM2-135M-Instruct",
        "of_hub": True,
        "is_adapter": False,
        "steps": 1234,
        "command": "python train.py objective=ipo",
        "initial": {"val/loss": 1.0},
        "final": {
            "val/loss": 0.5,
            "val/rewards/margin": 0.25,
            "gold/reward": 2.0,
            "val/lengths/chosen": 20.0,
        },
        "versions": {"torch": "2.6", "none": None},
    }
    return Trained(**{**values, **changes})


def test_everything_is_in_it():
    text = model_card(trained())
    for words in (
        "# ipo on ultrafeedback",
        "1,234 optimizer steps",
        "objective: `ipo` (tau=0.25)",
        "regularizers and modifiers: `sft`",
        "pipeline: `pairs`",
        "```\npython train.py objective=ipo\n```",
        "| MIT |",
        "| val/loss | 1 | 0.5 |  |",
        "| val/rewards/margin |  | 0.25 | nats |",
        "| val/lengths/chosen |  | 20 | tokens |",
        "| gold/reward |  | 2 |  |",
        "Made with torch 2.6.",
    ):
        assert words in text, words


def test_its_head_is_yaml():
    _, head, _ = model_card(trained(base="a: b", objective="dpo")).split("---\n", 2)
    assert yaml.safe_load(head) == {
        "library_name": "transformers",
        "pipeline_tag": "text-classification",
        "tags": ["alignlab", "preference-alignment", "dpo"],
        "base_model": "a: b",
        "license": "unknown",
    }


def test_every_source_of_a_mixture_has_its_licence():
    parts = {"hh_rlhf": {"weight": 2}, "threads": {"data": "shp"}, "my_own": None, "mine": {"licence": "CC0"}}
    config = {
        "objective": {"name": "dpo", "loss": {"_target_": "x", "beta": 0.1}},
        "regularizers": {},
        "modifiers": {},
        "pipeline": {},
        "data": {"name": "mixture", "title": "Several sources", "parts": parts},
    }
    text = card(config, {"name": "tiny"}, {"overrides": ["data=mixture"]}, task="text-generation", steps=3)
    assert "| hh_rlhf | Anthropic HH-RLHF: human pairs" in text
    assert "arXiv:2204.05862 | MIT |" in text
    assert "| threads | Stanford Human Preferences" in text
    assert "| Reddit's terms of use; no licence |" in text
    assert "| my_own | unknown | unknown |" in text
    assert "| mine | unknown | CC0 |" in text
    assert "Several sources" not in text
    assert "python train.py data=mixture" in text


def test_a_licence_is_never_made_up():
    assert data_facts("nectar")[1] == "Apache-2.0, and not for competing with OpenAI"
    assert data_facts("webgpt")[1] == "no licence stated"
    assert data_facts("lab")[0].startswith("The embedded world")
    assert data_facts("lab")[1] == "unknown"
    assert data_facts("lab", {"title": "a world of my own", "licence": "CC0"}) == ("a world of my own", "CC0")


def test_the_licence_of_a_base_model_stands_in_its_own_card(tmp_path):
    readme = tmp_path / "README.md"
    assert base_licence(str(tmp_path)) == "unknown"
    for text, licence in {
        "---\nlicense: apache-2.0\n---\n# model": "apache-2.0",
        "---\ntags: [a]\n---\n": "unknown",
        "# no head": "unknown",
        "---\n: [\n---\n": "unknown",
        "---\n- a\n---\n": "unknown",
    }.items():
        readme.write_text(text)
        assert base_licence(str(tmp_path)) == licence


def test_a_base_model_is_linked_to_where_the_hub_has_it(tmp_path):
    def head(path, **more):
        config = {
            "objective": {"name": "dpo", "loss": {"_target_": "x", "beta": 0.1}},
            "data": {"name": "lab"},
            **{group: {} for group in ("regularizers", "modifiers", "pipeline")},
        }
        text = card(config, {"name": "local", "path": path}, {}, task="text-generation", steps=3, **more)
        return yaml.safe_load(text.split("---\n", 2)[1])

    assert head("someone/model")["base_model"] == "someone/model"
    assert head("someone/model", is_adapter=True)["library_name"] == "peft"
    for path in (str(tmp_path), "/gone/model", "./model", "outputs/dpo/model", None):
        assert "base_model" not in head(path)


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077])
def test_weights_are_readable_by_whom_the_other_files_are(umask, tmp_path):
    before = os.umask(umask)
    try:
        export(CausalLM(load_small()[0]), load_small()[1], tmp_path / "model", "a card")
    finally:
        os.umask(before)
    modes = {file.name: file.stat().st_mode & 0o777 for file in (tmp_path / "model").iterdir()}
    assert modes["model.safetensors"] == 0o666 & ~umask
    assert len(set(modes.values())) == 1
