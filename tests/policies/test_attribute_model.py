"""Ratings by attribute and the gate that weighs them: vectors, regression in closed form, folders, what is refused."""

import json
import math
from dataclasses import replace
from functools import partial

import pytest
import torch

from alignlab import load_objective, load_policy
from alignlab.analysis import examined
from alignlab.config.stage_of import stage_to_score
from alignlab.data.batching.batches import Extras, collate
from alignlab.errors import ConfigError
from alignlab.policies.attribute_gate import AttributeGate, debiased, gated
from alignlab.policies.attribute_model import AttributeModel, is_held_out
from alignlab.policies.causal_lm.packing.tiny_copy import Exact
from alignlab.policies.causal_lm.pretrained import load
from alignlab.policies.policy import NO_REFERENCES
from alignlab.policies.reward_model import RewardModel
from alignlab.policies.ridge import PENALTIES, penalties_of, ridge
from alignlab.runs.folder import RunFolder
from alignlab.training.stage import run_stage
from alignlab.types import Example
from tests.data.ragged import draw, token_rows
from tests.training.small import load_small, small_stage
from tests.vectors import more, tensor

CASE = more()["B12_armo"]
GIVEN, EXPECTED = CASE["inputs"], CASE["outputs"]
NAMES = ("helpfulness", "brevity", "verbosity")
SETTINGS = {"attributes": [*NAMES], "gate_width": 8, "gate_layers": 1}
ROWS = draw((2, 3, 1, 4, 2, 3, 4, 3, 2, 4, 4, 3), vocabulary=30, seed=2)


def test_gate_and_debiasing_are_those_of_the_vectors():
    rewards, penalties = tensor(GIVEN["rewards"]), tensor(GIVEN["penalty"])
    weights = gated(tensor(GIVEN["gate_logits"]), GIVEN["temperature"])
    torch.testing.assert_close(weights, tensor(EXPECTED["gate"]), atol=1e-9, rtol=0)
    free = debiased(rewards, penalties, GIVEN["verbosity_dim"])
    torch.testing.assert_close(free, tensor(EXPECTED["debiased"]), atol=1e-9, rtol=0)
    eye = torch.eye(3, dtype=torch.float64)
    e_v = eye[GIVEN["verbosity_dim"]]
    torch.testing.assert_close(debiased(rewards, penalties, 1), (eye - torch.outer(penalties, e_v)) @ rewards)

    gate = AttributeGate(
        3, hidden=2, width=4, layers=1, dropout=0.0, temperature=GIVEN["temperature"]
    ).double()
    gate.network[-1].bias.data, gate.penalties = tensor(GIVEN["gate_logits"]), penalties
    prompts = torch.zeros(2, dtype=torch.float64)
    for verbosity, expected in ((None, "score_raw"), (1, "score_debiased")):
        score = gate(prompts, rewards, verbosity).item()
        assert score == pytest.approx(EXPECTED[expected], abs=1e-9)
    gate.scale.data *= 2.5
    assert gate.weights(prompts).sum().item() == pytest.approx(2.5)


def test_ridge_finds_weights_and_the_strength_that_predicts_best():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(300, 5, generator=generator, dtype=torch.float64)
    true = tensor([1.0, -2.0, 0.0, 0.5, 3.0])
    y = x @ true
    y[::7] = torch.nan
    held = torch.arange(300) % 5 == 0
    weights, strength = ridge(x, y, held)
    assert strength == 1e-4
    torch.testing.assert_close(weights, true, atol=1e-5, rtol=0)
    noise = torch.randn(300, generator=generator, dtype=torch.float64)
    weights, strength = ridge(x, noise, held)  # nothing to learn: the more of a penalty, the better
    assert strength >= 100
    known = x.T @ x + strength * torch.eye(5, dtype=torch.float64)
    torch.testing.assert_close(weights, torch.linalg.solve(known, x.T @ noise))


def test_penalties_are_the_smallest_that_free_an_attribute():
    generator = torch.Generator().manual_seed(1)
    verbosity, own, against = torch.randn(3, 400, generator=generator, dtype=torch.float64)
    verbosity = verbosity - verbosity.mean()
    rewards = torch.stack([own + 0.4 * verbosity, against - verbosity, verbosity, 5 * verbosity], dim=1)
    found = penalties_of(rewards, 2)
    assert found[1] == 0  # goes against verbosity as it is
    assert found[2] == found[3] == 1  # itself, and one that no penalty frees
    assert 0.3 <= found[0].item() <= 0.5
    assert found[0].item() in PENALTIES


def rated(names=NAMES, rows=ROWS):
    """Rows whose responses are rated by their length, a rating that is missing in every third list."""
    tokens = token_rows(rows)
    examples = []
    for number, (example, (_, responses)) in enumerate(zip(tokens.examples, rows, strict=True)):
        ratings = [
            {"brevity": -float(len(r)), "verbosity": float(len(r)), "helpfulness": 1.0} for r in responses
        ]
        if number % 3 == 0:
            for each in ratings:
                del each["brevity"]
        examples.append(replace(example, meta={"ratings": ratings}))
    return collate(replace(tokens, examples=examples), range(len(rows)), Extras(attributes=names))


def attribute_model(dtype=torch.float32, packing="auto", **changes):
    settings = {**SETTINGS, **changes}
    model = AttributeModel.adopt(*load_small(dtype), **settings)
    generator = torch.Generator().manual_seed(3)
    model.score.weight.data = torch.randn(model.score.weight.shape, generator=generator).to(dtype)
    model.attribute_gate.network[-1].weight.data.normal_(generator=generator)
    return AttributeModel(model, packing=packing, **settings)


def values(policy, batch):
    return policy.signals(batch, NO_REFERENCES, {"values"})


def test_scores_do_not_depend_on_batch_order_or_packing():
    policy, plain = (
        attribute_model(torch.float64, packing, verbosity="verbosity") for packing in ("auto", "off")
    )
    with Exact():
        whole = values(policy, rated())
        for name, found in values(plain, rated()).items():
            torch.testing.assert_close(found, whole[name], atol=1e-10, rtol=0)
        for b, (prompt, responses) in enumerate(ROWS[:4]):
            turned = values(policy, rated(rows=[(prompt, responses[::-1])]))
            for name, found in turned.items():
                torch.testing.assert_close(
                    found[0].flip(0), whole[name][b, : len(responses)], atol=1e-10, rtol=0
                )


def test_heads_are_fitted_before_the_first_step_and_the_gate_alone_trains():
    policy = attribute_model(verbosity="verbosity")
    batch = rated()
    policy.begin([batch])
    layout, states = policy.encode(batch)
    features = states[layout.place[batch.is_response.nonzero()[batch.row_lengths.cumsum(0) - 1, 0]]]
    held = torch.tensor([is_held_out(row) for row in batch.ids])[:, None].expand_as(batch.where)[batch.where]
    assert 0 < held.sum() < len(held)
    for number, head in enumerate(policy.model.score.weight):
        expected = ridge(features, batch.ratings[batch.where][:, number], held)[0]
        torch.testing.assert_close(head, expected.float(), atol=1e-5, rtol=1e-4)
    assert policy.gate.penalties[2] == 1
    loss = load_objective("bradley_terry")(values=values(policy, batch)["values"], labels=batch.labels).loss
    loss.backward()
    moved = {name for name, weight in policy.named_parameters() if weight.grad is not None}
    assert moved
    assert all("attribute_gate." in name for name in moved)


def test_attributes_train_where_ratings_are_known():
    policy, batch = attribute_model(fit="attributes"), rated()
    objective = load_objective("attribute_regression", scale=0.5)
    found = values(policy, batch)["attribute_values"]
    outcome = objective(attribute_values=found, ratings=batch.ratings, where=batch.where)
    known = ~batch.ratings.isnan() & batch.where[..., None]
    expected = (found - 0.5 * batch.ratings)[known].square().mean()
    torch.testing.assert_close(outcome.loss, expected.to(outcome.loss.dtype))
    assert (
        objective.counts(ratings=batch.ratings, labels=batch.labels, where=batch.where)[
            "attribute_regression"
        ]
        == known.sum()
    )
    outcome.loss.backward()
    assert all((w.grad is None) == ("attribute_gate." in n) for n, w in policy.named_parameters())


def test_a_folder_gives_the_scores_again_and_a_reward_model_its_decoder(tmp_path):
    policy, batch = attribute_model(verbosity="verbosity"), rated()
    policy.begin([batch])
    tokenizer = load_small()[1]
    policy.export(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    again = load_policy(tmp_path)
    assert again.policy.model.config.id2label == dict(enumerate(NAMES))
    with torch.no_grad():
        for name, found in values(again.policy, batch).items():
            torch.testing.assert_close(found, values(policy, batch)[name])
    assert again("What?", ["the fox", "a bat", "the"])["attribute_values"].shape == (3, 3)
    with pytest.raises(
        ConfigError, match=r"other attributes: set policy.attributes=\[helpfulness,brevity,verb"
    ):
        AttributeModel.adopt(*load(path=str(tmp_path)), **{**SETTINGS, "attributes": ["honesty"]})
    with pytest.raises(ConfigError, match="a gate of another size"):
        AttributeModel.adopt(*load(path=str(tmp_path)), **{**SETTINGS, "gate_width": 9})
    scalar = RewardModel.adopt(*load_small())
    assert AttributeModel.adopt(scalar, tokenizer, **SETTINGS).score.weight.shape[0] == 3


def test_what_cannot_be_is_told_before_a_model_is_loaded():
    def told(wanted=(), **settings):
        return list(AttributeModel.problems({"attributes": [*NAMES], "fit": "gate", **settings}, wanted))

    assert told(verbosity="verbosity") == []
    assert "policy.attributes=[...]" in told(attributes=None)[0]
    assert "names a twice" in told(attributes=["a", "a"])[0]
    assert "policy.verbosity=length is none of" in told(verbosity="length")[0]
    assert "use policy.fit=attributes" in told({"attribute_values", "ratings"})[0]
    rows = [Example([], ["a"], [1.0], meta={"ratings": [{"helpfulness": 1.0}]}), Example([], ["b"], [1.0])]
    (problem,) = AttributeModel.row_problems({"attributes": ["brevity", "helpfulness"]}, rows)
    assert (
        "no training row rates brevity (meta.ratings of its responses); their ratings are of helpfulness"
        in problem
    )
    assert not list(AttributeModel.row_problems({"attributes": ["helpfulness"]}, rows))


def gated_stage(folder, **trainer):
    settings = {"attributes": ["quality", "length"], "verbosity": "length", "gate_width": 4}
    tokenizer = load_small()[1]
    return small_stage(
        folder,
        "bradley_terry",
        trainer=trainer,
        load_model=lambda: (AttributeModel.adopt(*load_small(), **settings), tokenizer),
        make_policy=partial(AttributeModel, **settings),
        row_problems=partial(AttributeModel.row_problems, settings),
    )


def test_a_run_goes_on_from_the_one_before(tmp_path):
    whole, parts = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "parts")
    model = run_stage(gated_stage(whole.path, max_steps=4), whole).model
    run_stage(gated_stage(parts.path, max_steps=2), parts)
    resumed = run_stage(gated_stage(parts.path, max_steps=4), parts).model
    weights, start = (
        dict(model.named_parameters()),
        dict(gated_stage(whole.path).load_model()[0].named_parameters()),
    )
    for name, weight in resumed.named_parameters():
        assert torch.equal(weight, weights[name]), name
        fitted = name == "score.weight" or "attribute_gate." in name
        assert fitted or torch.equal(weight, start[name]), name
    assert not torch.equal(weights["score.weight"], start["score.weight"])
    assert not torch.equal(weights["attribute_gate.scale"], start["attribute_gate.scale"])
    assert torch.equal(resumed.attribute_gate.penalties, model.attribute_gate.penalties)


def test_sources_need_not_share_attributes():
    rated_rows = [
        Example([], ["a", "b"], [1.0, 0.0], meta={"ratings": [{"helpfulness": 4.0}, {"helpfulness": 1.0}]}),
        Example([], ["c"], [1.0], meta={"ratings": [{"honesty": 3.0}]}),
        Example([], ["d"], [1.0]),
    ]
    tokens = token_rows([([1], [[2], [3]]), ([1], [[2]]), ([1], [[2]])])
    batch = collate(
        replace(tokens, examples=rated_rows), range(3), Extras(attributes=("helpfulness", "honesty"))
    )
    nan = math.nan
    expected = torch.tensor([[[4.0, nan], [1.0, nan]], [[nan, 3.0], [0.0, 0.0]], [[nan, nan], [0.0, 0.0]]])
    torch.testing.assert_close(batch.ratings, expected.double(), equal_nan=True)


def test_a_folder_scores_rows_that_nobody_rated(tmp_path):
    policy, folder, rows = attribute_model(verbosity="verbosity"), tmp_path / "model", tmp_path / "rows.jsonl"
    policy.export(folder)
    load_small()[1].save_pretrained(folder)
    row = {"prompt": "What about the fox?", "chosen": "The fox is red.", "rejected": "It is."}
    rows.write_text("".join(json.dumps(row | {"id": str(i)}) + "\n" for i in range(2)))
    given = [f"model={folder}", "data=local", f"data.path={rows}", f"cache_dir={tmp_path}"]
    stage = stage_to_score([*given, "data.validation_fraction=null", "data.limit_validation=1"])
    values = examined.scored(examined.examine(stage, "validation")).values[0]
    found = load_policy(folder)(row["prompt"], [row["chosen"], row["rejected"]])["values"]
    torch.testing.assert_close(values.float(), found)
