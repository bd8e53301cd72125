"""Activations that are computed again: in models as transformers loads them, and nothing else changes."""

import torch
from transformers import AutoModelForCausalLM

from alignlab.policies.causal_lm.decoder import layers_of, recompute
from tests.training.small import load_small


def forwards(model) -> tuple[int, torch.Tensor]:
    """How often the MLP of a layer runs in a forward and backward, and a gradient."""
    runs = []
    handle = layers_of(model)[0].mlp.register_forward_pre_hook(lambda *_: runs.append(1))
    loss = model(input_ids=torch.arange(6)[None], use_cache=False).logits.logsumexp(-1).sum()
    loss.backward()
    handle.remove()
    weight = model.get_input_embeddings().weight
    found, weight.grad = weight.grad.clone(), None
    return len(runs), found


def test_a_loaded_model_computes_its_layers_again(tmp_path):
    load_small()[0].save_pretrained(tmp_path)
    model = AutoModelForCausalLM.from_pretrained(tmp_path)
    once, gradient = forwards(model)
    recompute(model)
    twice, same = forwards(model)
    assert (once, twice) == (1, 2)
    assert torch.equal(gradient, same)
