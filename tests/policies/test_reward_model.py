"""Values of responses: exact in every packing and batch, with their gradients, as the plain classifier has them."""

import json
from types import SimpleNamespace

import pytest
import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    LlamaConfig,
    LlamaForSequenceClassification,
)

from alignlab.data.batching.batches import collate
from alignlab.errors import ConfigError, RunError
from alignlab.policies.causal_lm.model import CausalLM
from alignlab.policies.causal_lm.packing.tiny_copy import Exact
from alignlab.policies.causal_lm.pretrained import load
from alignlab.policies.reward_model import RewardModel
from alignlab.policies.sequence_head import last_tokens, padding_of
from tests.config.compose import composed, problem
from tests.data.ragged import draw, token_rows
from tests.policies.models import VOCABULARY, assert_same, build, gradients_of
from tests.training.small import load_small

ROWS = draw((2, 3, 1, 4, 2), vocabulary=VOCABULARY, seed=2)
TOKENIZER = SimpleNamespace(eos_token_id=2, pad_token_id=0, bos_token_id=1, unk_token_id=None)
FAMILIES = ["llama", "gemma2", "gpt2", "bloom"]


def classifier(family="llama"):
    return RewardModel.adopt(build(family).eval(), TOKENIZER)


def values(policy, rows=ROWS, indices=None):
    batch = collate(token_rows(rows), indices or range(len(rows)))
    return policy.signals(batch, (None, ()), {"values"})["values"]


def plain(model, rows=ROWS):
    """One call of the classifier a response."""
    found = torch.zeros(len(rows), max(len(responses) for _, responses in rows), dtype=torch.float64)
    for b, (prompt, responses) in enumerate(rows):
        for k, response in enumerate(responses):
            found[b, k] = model(input_ids=torch.tensor([prompt + response]), use_cache=False).logits[0, 0]
    return found


@pytest.mark.parametrize("packing", ["auto", "off"])
@pytest.mark.parametrize("family", FAMILIES)
def test_values_and_gradients_are_those_of_the_plain_classifier(family, packing):
    model = classifier(family)
    policy = RewardModel(model, packing=packing)
    assert policy.packed == (packing == "auto" and family != "bloom")
    with Exact():
        torch.testing.assert_close(values(policy), plain(model), atol=1e-10, rtol=0)
    weights = torch.linspace(-1, 1, 20, dtype=torch.float64).view(5, 4)
    ours = gradients_of(policy, lambda: (values(policy) * weights).sum())
    naive = gradients_of(policy, lambda: (plain(model) * weights).sum())
    assert_same(ours, naive, tolerance=1e-10)
    assert "model.score.weight" in ours


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-10)])
def test_values_do_not_depend_on_what_else_is_in_the_batch(dtype, tolerance):
    policy = RewardModel(classifier().to(dtype))
    with Exact() if dtype == torch.float64 else torch.no_grad():
        whole = values(policy)
        for b, (_, responses) in enumerate(ROWS):
            alone = values(policy, indices=[b])[0]
            torch.testing.assert_close(whole[b, : len(responses)], alone, atol=tolerance, rtol=0)
    assert not whole[2, 1:].any()  # a list of one


def test_the_last_token_of_every_response_is_read():
    batch = collate(token_rows(ROWS), range(len(ROWS)))
    found = batch.tokens[last_tokens(batch)].tolist()
    assert found == [response[-1] for _, responses in ROWS for response in responses]


def test_a_new_head_is_small_and_the_same_at_every_call():
    heads = [classifier().score.weight for _ in range(2)]
    assert torch.equal(*heads)
    wide = RewardModel.adopt(load_small()[0], TOKENIZER).score.weight
    assert wide.std().item() == pytest.approx(1 / (wide.shape[1] + 1), rel=0.4)


def test_autocast_leaves_the_head_in_float32():
    policy = RewardModel(classifier().float())
    with torch.autocast("cpu", torch.bfloat16):
        assert values(policy).dtype == torch.float32


def exported(tmp_path):
    model, tokenizer = load_small()
    policy = RewardModel(RewardModel.adopt(model, tokenizer))
    torch.manual_seed(0)
    torch.nn.init.normal_(policy.model.score.weight)
    policy.export(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    return policy, tmp_path / "model"


@pytest.mark.parametrize("side", ["right", "left"])
def test_the_exported_folder_is_a_plain_classifier(tmp_path, side):
    policy, folder = exported(tmp_path)
    with torch.no_grad():
        wanted = values(policy, rows := draw((2, 3), vocabulary=30, seed=4))
        model = AutoModelForSequenceClassification.from_pretrained(folder)
        assert model.config.num_labels == 1
        tokenizer = AutoTokenizer.from_pretrained(folder)
        ids = [prompt + response for prompt, responses in rows for response in responses]
        inputs = tokenizer.pad({"input_ids": ids}, padding_side=side, return_tensors="pt")
        together = model(**inputs).logits[:, 0]
        alone = torch.stack([model(input_ids=torch.tensor([row])).logits[0, 0] for row in ids])
    flat = torch.cat([wanted[0, :2], wanted[1, :3]])
    torch.testing.assert_close(alone, flat, atol=1e-5, rtol=0)
    torch.testing.assert_close(together, flat, atol=1e-5, rtol=0)


def test_a_classifier_is_loaded_with_its_head(tmp_path):
    policy, folder = exported(tmp_path)
    model, tokenizer = load(path=str(folder))
    again = RewardModel(RewardModel.adopt(model, tokenizer))
    assert torch.equal(again.model.score.weight, policy.model.score.weight)
    with torch.no_grad():
        torch.testing.assert_close(values(again), values(policy))
    assert model.generation_config.eos_token_id == load_small()[0].generation_config.eos_token_id
    with pytest.raises(ConfigError, match="no head over the vocabulary: use policy=reward_model"):
        CausalLM.adopt(model, tokenizer)


def test_what_a_folder_cannot_be_is_told_before_it_is_loaded(tmp_path):
    _, folder = exported(tmp_path)
    line = [f"model.path={folder}", "model=local", "data=hh_rlhf"]
    told = problem(composed(*line))
    assert (
        f"model.path={folder} is a classifier (LlamaForSequenceClassification), as reward models are" in told
    )
    headed = [*line, "policy=reward_model", "objective=bradley_terry"]
    assert "classifier" not in problem(composed(*headed))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "id2label": {"0": "bad", "1": "good"}}))
    assert "is a classifier of 2 labels, and policy=reward_model needs one" in problem(composed(*headed))


def test_several_labels_are_refused():
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = LlamaForSequenceClassification(LlamaConfig(vocab_size=9, num_labels=3, **sizes))
    with pytest.raises(ConfigError, match="one label, and LlamaForSequenceClassification has 3"):
        RewardModel.adopt(model, TOKENIZER)


def test_an_architecture_without_a_classifier_is_refused():
    with pytest.raises(ConfigError, match="no sequence classifier for CohereForCausalLM"):
        RewardModel.adopt(build("cohere"), TOKENIZER)


def test_a_model_that_scores_otherwise_is_refused(monkeypatch):
    model = classifier()
    forward = model.forward

    def shifted(**inputs):
        output = forward(**inputs)
        output.logits = output.logits + 1
        return output

    monkeypatch.setattr(model, "forward", shifted)
    with pytest.raises(RunError, match="not that of its head at the last token"):
        RewardModel(model)


@pytest.mark.parametrize(
    ("pad", "bos", "expected"), [(0, 1, 0), (2, 1, 1), (None, 1, 1), (7, 1, 1), (None, 2, None)]
)
def test_padding_never_is_a_token_that_ends_a_response(pad, bos, expected):
    tokenizer = SimpleNamespace(eos_token_id=2, pad_token_id=pad, bos_token_id=bos, unk_token_id=None)
    model = SimpleNamespace(generation_config=SimpleNamespace(eos_token_id=[2, 7]))
    assert padding_of(model, tokenizer) == expected
