"""Policies from the folders that runs leave, as one scores with them."""

import pytest
import torch

import alignlab
from alignlab.errors import ConfigError, DataError
from alignlab.policies.causal_lm.model import CausalLM
from alignlab.policies.preference_model import PreferenceModel
from alignlab.policies.reward_model import RewardModel
from alignlab.policies.user_model import UserModel
from tests.training.small import load_small

PROMPT, RESPONSES = "Tell me about the fox.", ["The fox is red.", "The fox eats mice.", "It can dig."]
USER = {"users": ["anna", "ben"], "form": "B", "prototypes": 3, "width": 8}


def saved(kind, folder, **settings):
    model, tokenizer = load_small()
    policy = kind(kind.adopt(model, tokenizer, **settings), **settings)
    for name, weight in policy.named_parameters():
        if "score" in name or "user_head" in name:
            weight.data = torch.randn(weight.shape, generator=torch.Generator().manual_seed(0))
    policy.export(folder)
    tokenizer.save_pretrained(folder)
    return policy


def test_a_reward_model_scores_as_the_plain_classifier(tmp_path):
    policy = saved(RewardModel, tmp_path)
    loaded = alignlab.load_policy(tmp_path)
    values = loaded(PROMPT, RESPONSES)["values"]
    assert values.shape == (3,)
    turns = [{"role": "user", "content": PROMPT}]
    text = loaded.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    texts = [text + response + loaded.tokenizer.eos_token for response in RESPONSES]
    ids = loaded.tokenizer(texts, add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        plain = [policy.model(input_ids=torch.tensor([row]), use_cache=False).logits[0, 0] for row in ids]
    torch.testing.assert_close(values, torch.stack(plain), atol=1e-5, rtol=0)


def test_a_preference_model_keeps_what_it_is(tmp_path):
    model, tokenizer = load_small()
    policy = PreferenceModel(
        PreferenceModel.adopt(model, tokenizer, dimension=4), dimension=4, normalize=True
    )
    policy.export(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    loaded = alignlab.load_policy(tmp_path)
    assert isinstance(loaded.policy, PreferenceModel)
    assert loaded.policy.normalize
    scores = loaded(PROMPT, RESPONSES)["preferences"]
    assert torch.equal(scores, -scores.T)


def test_a_user_model_scores_for_those_it_knows(tmp_path):
    saved(UserModel, tmp_path, **USER)
    loaded = alignlab.load_policy(tmp_path)
    anna, ben = (loaded(PROMPT, RESPONSES, user=user)["values"] for user in USER["users"])
    assert not torch.allclose(anna, ben)
    with pytest.raises(DataError, match="of user 'cleo', whom the model does not know"):
        loaded(PROMPT, RESPONSES, user="cleo")
    with pytest.raises(DataError, match="names no user"):
        loaded(PROMPT, RESPONSES)


def test_a_language_model_gives_log_probabilities(tmp_path):
    model, tokenizer = load_small()
    CausalLM(model).export(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    assert (alignlab.load_policy(tmp_path)(PROMPT, RESPONSES)["logps"] < 0).all()


def test_a_classifier_of_other_things_is_refused(tmp_path):
    model, tokenizer = load_small()
    adopted = PreferenceModel.adopt(model, tokenizer, dimension=2)
    adopted.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="a classifier of 2 labels, and no policy"):
        alignlab.load_policy(tmp_path)
