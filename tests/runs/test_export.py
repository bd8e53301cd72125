"""The model card: what it says, and that tools can read it."""

import yaml

from alignlab.runs.export import Trained, base_licence, data_facts, model_card


def trained(**changes):
    values = {
        "objective": "ipo",
        "hyper": {"tau": 0.25},
        "terms": ["sft"],
        "data": ["ultrafeedback"],
        "pipeline": ["pairs"],
        "base": "HuggingFaceTB/SmolLM2-135M-Instruct",
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
    card = model_card(trained())
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
        assert words in card, words


def test_its_head_is_yaml():
    _, head, _ = model_card(trained(base="a: b", objective="dpo")).split("---\n", 2)
    assert yaml.safe_load(head) == {
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["alignlab", "preference-alignment", "dpo"],
        "base_model": "a: b",
        "license": "unknown",
    }


def test_every_source_of_a_mixture_has_its_licence():
    card = model_card(trained(data=["hh_rlhf", "shp", "my_own"]))
    assert "| hh_rlhf | Anthropic HH-RLHF (MIT)" in card
    assert "| Reddit's terms of use; no licence |" in card
    assert "| my_own | unknown | unknown |" in card


def test_a_licence_is_never_made_up():
    assert data_facts("nectar")[1] == "Apache-2.0, and not for competing with OpenAI"
    assert data_facts("webgpt")[1] == "no licence stated"
    assert data_facts("lab")[0].startswith("The embedded world")
    assert data_facts("lab")[1] == "unknown"


def test_the_licence_of_a_base_model_stands_in_its_own_card(tmp_path):
    card = tmp_path / "README.md"
    assert base_licence(str(tmp_path)) == "unknown"
    for text, licence in {
        "---\nlicense: apache-2.0\n---\n# model": "apache-2.0",
        "---\ntags: [a]\n---\n": "unknown",
        "# no head": "unknown",
        "---\n: [\n---\n": "unknown",
        "---\n- a\n---\n": "unknown",
    }.items():
        card.write_text(text)
        assert base_licence(str(tmp_path)) == licence
