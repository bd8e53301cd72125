"""Lists whose responses have a prompt each (DOVE): each response and each prompt is scored by itself."""

import numpy as np
import pytest
import torch

from alignlab.data.batching.batches import Extras, collate, within_budget
from alignlab.objective.load import load_objective
from alignlab.passes.reference import cached_signals
from tests.data.ragged import draw, joint_rows, token_rows
from tests.policies.models import VOCABULARY, policy

PAIRS = [
    [(prompt, response) for prompt, (response,) in draw((1,) * size, vocabulary=VOCABULARY, seed=seed)]
    for seed, size in enumerate((2, 3, 2))
]
ALONE = [(prompt, [response]) for pairs in PAIRS for prompt, response in pairs]
WANTED = {"prompt_logps"}


@pytest.mark.parametrize("packing", ["auto", "off"])
def test_scores_are_those_of_lists_of_one(packing):
    model = policy(packing=packing).double()
    joint = model(collate(joint_rows(PAIRS), range(3)), wanted=WANTED)
    alone = model(collate(token_rows(ALONE), range(7)), wanted=WANTED)
    where = collate(joint_rows(PAIRS), range(3)).where
    torch.testing.assert_close(joint.logps[where], alone.logps[:, 0], rtol=1e-9, atol=1e-9)
    prompts = joint.more["prompt_logps"][where]
    torch.testing.assert_close(prompts, alone.more["prompt_logps"][:, 0], rtol=1e-9, atol=1e-9)
    assert len(prompts.unique()) > 3  # one a response, not one a list


def test_the_reference_is_cached_by_response(tmp_path):
    rows = joint_rows(PAIRS)
    found = cached_signals(policy(), rows, ["ref_logps", "ref_prompt_logps"], cache_dir=tmp_path)
    alone = policy()(collate(token_rows(ALONE), range(7)), wanted=WANTED)
    np.testing.assert_allclose(found["ref_logps"], alone.logps[:, 0].detach(), rtol=1e-5)
    np.testing.assert_allclose(
        found["ref_prompt_logps"], alone.more["prompt_logps"][:, 0].detach(), rtol=1e-5
    )


def test_the_key_covers_the_prompts_of_each_response():
    other = [[PAIRS[0][0], (PAIRS[1][0][0], PAIRS[0][1][1])], *PAIRS[1:]]
    shared = token_rows([(pairs[0][0], [response for _, response in pairs]) for pairs in PAIRS])
    assert len({rows.keys[0] for rows in (joint_rows(PAIRS), joint_rows(other), shared)}) == 3


@pytest.mark.parametrize("prompt", ["none", "sum"])
def test_dove_trains_on_them(prompt):
    model, reference = policy(seed=1).double(), policy().double()
    objective = load_objective("dove", prompt=prompt, beta=0.5)
    batch = collate(joint_rows(PAIRS[:1]), [0])
    scores = model(batch, reference=reference, wanted=objective.signals)
    known = {"labels": batch.labels.double(), "where": batch.where, "weights": batch.weights.double()}
    loss = objective(**(scores.signals(batch) | known)).loss
    own, start = (m(collate(token_rows(ALONE[:2]), range(2)), wanted=WANTED) for m in (model, reference))
    logps = (own.logps - start.logps)[:, 0]
    prompts = (own.more["prompt_logps"] - start.more["prompt_logps"])[:, 0]
    ratios = logps + (prompts if prompt == "sum" else 0)
    torch.testing.assert_close(loss, -torch.nn.functional.logsigmoid(0.5 * (ratios[0] - ratios[1])))
    loss.backward()
    assert all(p.grad is not None for p in model.parameters())


def test_budgets_count_every_prompt():
    rows = joint_rows([[([1] * 5, [2] * 3), ([3] * 4, [4] * 2)]] * 2)
    assert rows.unique.tolist() == [14, 14]
    assert rows.widths.tolist() == [8, 8]
    assert list(within_budget(rows, [0, 1], 28, packed=True)) == [[0, 1]]
    assert list(within_budget(rows, [0, 1], 27, packed=True)) == [[0], [1]]


def test_a_mismatched_response_follows_the_first_prompt():
    batch = collate(joint_rows(PAIRS), [0, 1], Extras(mismatched=True), {0: 2, 1: 0})
    for b, (other, pairs) in enumerate(((PAIRS[1][0][1], PAIRS[0]), (PAIRS[0][0][1], PAIRS[1]))):
        row = int(batch.extra["mismatched"][b])
        assert batch.tokens[batch.row == row].tolist() == other
        prompt = int(batch.prompt[batch.row == row][0])
        assert batch.tokens[(batch.prompt == prompt) & (batch.row < 0)].tolist() == pairs[0][0]
    own = [batch.tokens[batch.row == n].tolist() for n in batch.slot[batch.where].tolist()]
    assert own == [response for pairs in PAIRS[:2] for _, response in pairs]
