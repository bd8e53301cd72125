"""The model card: what it says, and that tools can read it."""

import yaml

from alignlab.runs.export import Trained, base_licence, card, data_facts, model_card


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
