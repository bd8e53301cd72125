"""A language model with a value head: the values of states, their gradient, and what is exported."""

import torch
from torch.testing import assert_close
from transformers import AutoModelForCausalLM

from alignlab.data.batching.batches import collate
from alignlab.policies.actor_critic import ActorCritic
from alignlab.policies.policy import NO_REFERENCES
from tests.data.test_token_ids import loaded, prepared
from tests.training.small import load_small

ROWS = [{"prompt_ids": [5, 1, 9], "responses": [[2], [3, 3, 4], [7, 8]]}]
WANTED = {"token_values", "token_logps"}


def batch_of(tmp_path):
    return collate(prepared(tmp_path, loaded(tmp_path, ROWS).train)[0], [0])


def test_the_value_is_that_of_the_state_before_each_token(tmp_path):
    policy, batch = ActorCritic(load_small()[0]), batch_of(tmp_path)
    torch.nn.init.normal_(policy.value_head.weight, generator=torch.Generator().manual_seed(0))
    found = policy.signals(batch, NO_REFERENCES, WANTED)
    whole = torch.tensor([[5, 1, 9, 3, 3, 4]])
    states = policy.model.model(whole).last_hidden_state[0, 2:5]
    assert_close(found["token_values"][0, 1], policy.value_head(states).squeeze(-1))
    assert (found["token_values"][0, 0, 1:] == 0).all()
    assert "hidden" not in found
    found["token_values"].sum().backward()
    assert policy.value_head.weight.grad.any()
    assert policy.model.get_input_embeddings().weight.grad.any()


def test_it_starts_at_0_and_is_a_language_model_otherwise(tmp_path):
    policy, batch = ActorCritic(load_small()[0]), batch_of(tmp_path)
    assert not policy.signals(batch, NO_REFERENCES, WANTED)["token_values"].any()
    assert "token_values" not in policy.signals(batch, NO_REFERENCES, {"logps"})
    policy.export(tmp_path / "model")
    read, told = AutoModelForCausalLM.from_pretrained(tmp_path / "model", output_loading_info=True)
    assert not told["unexpected_keys"]
    assert_close(read.state_dict(), policy.model.state_dict())
