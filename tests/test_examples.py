"""The programs of examples/ do what they say, in miniature."""

import importlib.util
import math

import pytest
import torch

from tests.repository import ROOT
from tests.training.small import load_small


def loaded(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_online_loop_learns_what_its_reward_says(tmp_path):
    file = ROOT / "examples" / "online_loop.py"
    assert len(file.read_text().splitlines()) <= 80
    model, tokenizer = load_small()
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    torch.manual_seed(0)
    steps = loaded("online_loop").online(
        str(tmp_path),
        ["Tell me about the frog.", "Tell me about the fox."],
        lambda prompt, response: float(response.count("It")),
        steps=8,
        prompts_per_step=8,
        lr=0.03,
    )
    losses, rewards, kls = zip(*steps, strict=True)
    assert losses[0] == pytest.approx(math.log(2), abs=1e-6)
    assert kls[0] == pytest.approx(0, abs=1e-5)
    assert min(rewards[-2:]) > 2 * rewards[0]
