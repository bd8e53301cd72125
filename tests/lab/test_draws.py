"""Responses drawn from a model."""

import pytest
import torch

from alignlab.lab import draws, tiny, world
from alignlab.lab.world import AT_ONCE, examples

SHORT = {"steps": 60, "batch_size": 16, "hidden_size": 32, "layers": 1, "heads": 2}


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    place = tmp_path_factory.mktemp("policy")
    tiny.load(cache_dir=str(place), **SHORT)
    (folder,) = (path for path in (place / "models").iterdir() if path.is_dir())
    return str(folder)


def test_draws_repeat_and_leave_the_random_state_alone(policy):
    model, tokenizer = draws.policy_of(policy, None)
    asked = {"each": 3, "temperature": 1.0}
    before = torch.random.get_rng_state()
    first = draws.draw(model, tokenizer, ["Tell me about the fox.", "Hello."], seed="a", **asked)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert [len(texts) for texts in first] == [3, 3]
    assert first == draws.draw(model, tokenizer, ["Tell me about the fox.", "Hello."], seed="a", **asked)
    assert first != draws.draw(model, tokenizer, ["Tell me about the fox.", "Hello."], seed="b", **asked)
    assert not any(mark in text for texts in first for text in texts for mark in ("<", "|"))


def test_rows_do_not_depend_on_how_many_follow(policy):
    knobs = {"split": "train", "responses": 2, "on_policy": 1.0, "policy": policy}
    few = list(examples(size=3, **knobs))
    assert few == list(examples(size=AT_ONCE + 1, **knobs))[:3]
    assert [row.prompt for row in few] == [row.prompt for row in examples(split="train", size=3)]


def test_a_share_of_the_responses_is_the_models(policy, monkeypatch):
    monkeypatch.setattr(world, "draw", marked)
    rows = list(examples(split="train", size=200, on_policy=0.3, policy=policy))
    share = sum("drawn" in text for row in rows for text in row.responses) / 800
    assert 0.25 < share < 0.35
    rows = list(examples(split="train", size=20, on_policy=1.0, policy=policy))
    assert all("drawn" in text for row in rows for text in row.responses)


def test_samples_are_beside_the_list(policy, monkeypatch):
    monkeypatch.setattr(world, "draw", marked)
    for row in examples(split="train", size=5, samples=3, policy=policy):
        assert [text.startswith("The fox is red. drawn") for text in row.meta["samples"]] == [True] * 3
        assert not any("drawn" in text for text in row.responses)


def test_each_source_has_its_own_temperature(policy, monkeypatch):
    seen = {}

    def spy(*given, temperature, **knobs):
        seen[temperature] = len(given[2])
        return marked(*given, **knobs)

    monkeypatch.setattr(world, "draw", spy)
    sources = {
        "cold": {"temperature": 0.5, "on_policy": 1.0},
        "hot": {"temperature": 2.0, "samples": 1},
        "none": {},
    }
    rows = list(examples(split="train", size=6, policy=policy, sources=sources))
    assert seen == {0.5: 22, 2.0: 21}
    assert ["samples" in row.meta for row in rows] == [False, True, False] * 2


def marked(model, tokenizer, prompts, *, each, **_):
    """Texts of different rewards."""
    return [
        ["The fox is red. drawn" + " drawn." * i + " It can fly." * (i % 2) for i in range(each)]
        for _ in prompts
    ]
