"""Inner products of hidden states: as the model gives them one response at a time, however rows are batched."""

import numpy as np
import pytest
import torch

from alignlab.data.encoding.tokenize import Encoder
from alignlab.data.load import load_examples
from alignlab.passes.hidden_products import cached_products
from alignlab.policies.causal_lm.model import CausalLM
from alignlab.training.rows import tokenize
from tests.training.small import load_small, small_stage


@pytest.fixture
def rows(tmp_path):
    stage = small_stage(tmp_path)
    model, tokenizer = load_small()
    examples = load_examples(stage.data, stage.cache_dir)
    return tokenize(stage, examples, Encoder(tokenizer), model).train


def alone(model, rows, index):
    """Sums over the positions from the last of the prompt to the one before the last of the response."""
    sums = []
    for prompt, members in rows.parts(index):
        for member in members:
            ids = torch.tensor(np.concatenate([prompt, rows.responses[member]]).astype(np.int64))[None]
            hidden = model(input_ids=ids, output_hidden_states=True).hidden_states[-1][0]
            sums.append(hidden[len(prompt) - 1 : -1].sum(0))
    return torch.stack(sums) @ torch.stack(sums).T


@pytest.mark.parametrize("packing", ["auto", "off"])
@torch.no_grad()
def test_they_are_those_of_each_response_alone(rows, tmp_path, packing):
    model = load_small(torch.float64)[0]
    found = cached_products(CausalLM(model, packing=packing), rows, cache_dir=tmp_path)
    assert len(found) == len(rows)
    for index in range(0, len(rows), 5):
        expected = alone(model, rows, index).numpy()
        np.testing.assert_allclose(found[index], expected, atol=1e-9)


def test_they_come_from_the_cache_where_they_are(rows, tmp_path, monkeypatch):
    policy = CausalLM(load_small()[0])
    cached_products(policy, rows.take([5, 1]), cache_dir=tmp_path)
    some = cached_products(policy, rows.take(range(20)), cache_dir=tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(CausalLM, "encode", None)
        again = cached_products(policy, rows.take([7, 1, 3]), cache_dir=tmp_path)
        with pytest.raises(TypeError):
            cached_products(policy, rows, cache_dir=tmp_path)
    cold = cached_products(policy, rows.take([7, 1, 3]), cache_dir=tmp_path / "cold")
    for place, index in enumerate((7, 1, 3)):
        assert (again[place] == some[index]).all()
        assert (again[place] == cold[place]).all()
