"""Scores of two responses: antisymmetric to the bit, one reading a response, whatever else is in the batch."""

from types import SimpleNamespace

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from alignlab import load_objective
from alignlab.data.batching.batches import collate
from alignlab.errors import ConfigError
from alignlab.policies.causal_lm.packing.tiny_copy import Exact
from alignlab.policies.policy import NO_REFERENCES
from alignlab.policies.preference_model import PreferenceModel, preferences
from alignlab.policies.reward_model import RewardModel
from tests.data.ragged import draw, token_rows
from tests.policies.models import VOCABULARY, build
from tests.training.small import load_small
from tests.vectors import more, tensor

CASE = more()["B3_gpm"]
ROWS = draw((2, 3, 1, 4, 2), vocabulary=VOCABULARY, seed=2)
TOKENIZER = SimpleNamespace(eos_token_id=2, pad_token_id=0, bos_token_id=1, unk_token_id=None)


def model(dtype=torch.float64):
    adopted = PreferenceModel.adopt(build("llama").eval(), TOKENIZER, dimension=4).to(dtype)
    generator = torch.Generator().manual_seed(1)
    adopted.score.weight.data = torch.randn(adopted.score.weight.shape, generator=generator).to(dtype)
    return adopted


def scores(policy, rows=ROWS, indices=None):
    batch = collate(token_rows(rows), indices or range(len(rows)))
    return policy.signals(batch, NO_REFERENCES, {"preferences"})["preferences"]


def test_scores_are_those_of_the_vectors():
    a, b = (tensor(CASE["inputs"][name]) for name in "ab")
    found = preferences(torch.stack([a, b]))
    torch.testing.assert_close(found[0, 1].item(), CASE["outputs"]["s_ab"], atol=1e-9, rtol=0)
    torch.testing.assert_close(found[1, 0].item(), CASE["outputs"]["s_ba"], atol=1e-9, rtol=0)
    circle = preferences(tensor(CASE["inputs"]["cyclic_vectors"]))
    torch.testing.assert_close(circle, tensor(CASE["outputs"]["score_matrix"]), atol=1e-9, rtol=0)
    assert all(circle[i, (i + 1) % 3] > 0 for i in range(3))
    flat = preferences(tensor([[1.7, 1.0], [0.4, 1.0]]))  # a second coordinate of 1: Bradley-Terry
    torch.testing.assert_close(flat[0, 1].item(), CASE["outputs"]["bt_special_case_score"], atol=1e-9, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_scores_are_antisymmetric_to_the_bit(dtype):
    found = scores(PreferenceModel(model(dtype), dimension=4))
    assert torch.equal(found, -found.transpose(1, 2))
    assert found[3].unique().numel() == 13  # of 4 responses: 12 scores and the 0 of each against itself


@pytest.mark.parametrize(
    ("dtype", "tolerance", "normalize"),
    [(torch.float32, 1e-6, True), (torch.float64, 1e-10, False), (torch.float64, 1e-10, True)],
)
def test_scores_do_not_depend_on_batch_order_or_packing(dtype, tolerance, normalize):
    policy, plain = (
        PreferenceModel(model(dtype), packing=packing, dimension=4, normalize=normalize)
        for packing in ("auto", "off")
    )
    with Exact() if dtype == torch.float64 else torch.no_grad():
        whole = scores(policy)
        torch.testing.assert_close(scores(plain), whole, atol=tolerance, rtol=0)
        for b, (prompt, responses) in enumerate(ROWS):
            k = len(responses)
            alone = scores(policy, indices=[b])[0]
            torch.testing.assert_close(whole[b, :k, :k], alone, atol=tolerance, rtol=0)
            turned = scores(policy, [(prompt, responses[::-1])])[0].flip(0, 1)
            torch.testing.assert_close(turned, alone, atol=tolerance, rtol=0)
    assert not whole[2].any()  # a list of one
    assert not normalize or whole.abs().max() <= 1 + tolerance


def test_the_exported_folder_is_a_classifier_whose_labels_are_the_vectors(tmp_path):
    loaded, tokenizer = load_small()
    policy = PreferenceModel(PreferenceModel.adopt(loaded, tokenizer))
    torch.nn.init.normal_(policy.model.score.weight, generator=torch.Generator().manual_seed(0))
    policy.export(tmp_path)
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert again.config.num_labels == 6
    rows = draw((3,), vocabulary=30, seed=4)
    with torch.no_grad():
        ids = [torch.tensor([rows[0][0] + response]) for response in rows[0][1]]
        vectors = torch.cat([again(input_ids=row, use_cache=False).logits for row in ids])
        torch.testing.assert_close(scores(policy, rows)[0], preferences(vectors), atol=1e-5, rtol=0)
    with pytest.raises(ConfigError, match=r"needs a classifier with one label, and LlamaForSeq.* has 6"):
        RewardModel.adopt(again, tokenizer)
    with pytest.raises(ConfigError, match=r"needs a classifier with 4 labels, and LlamaForSeq.* has 6"):
        PreferenceModel.adopt(again, tokenizer, dimension=4)


@pytest.mark.parametrize("dimension", [0, 3])
def test_an_odd_dimension_is_refused(dimension):
    (problem,) = PreferenceModel.problems({"dimension": dimension})
    assert problem == f"policy.dimension={dimension}: expected an even number from 2 on"


def test_vectors_of_length_1_find_a_circle():
    adopted = PreferenceModel.adopt(*load_small(), dimension=2)
    policy = PreferenceModel(adopted, dimension=2, normalize=True)
    batch = collate(token_rows([([5, 6], [[7], [8], [9]])]), [0])
    wins = torch.tensor([[[0.5, 1.0, 0.0], [0.0, 0.5, 1.0], [1.0, 0.0, 0.5]]])
    objective = load_objective("gpm", temperature=0.3)
    optimizer = torch.optim.Adam(policy.parameters(), lr=0.003)
    for _ in range(30):
        scores = policy.signals(batch, NO_REFERENCES, {"preferences"})["preferences"]
        objective(preferences=scores, wins=wins).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert torch.equal(scores[0] > 0, wins[0] > 0.5)
    assert scores[0, 0, 1] > 0.8  # at most sin(120 degrees) for all three
