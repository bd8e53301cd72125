"""Contrast of responses in a reward model's hidden states: the vector, what has a gradient, and how steps are cut."""

import pytest
import torch
import torch.nn.functional as F

from alignlab import load_objective
from alignlab.regularizers.simcse import contrasted
from alignlab.regularizers.swav import shares
from tests.vectors import more, tensor

CASE = more()["B6_simcse_term"]
STATES = torch.randn(3, 2, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_the_simcse_term_is_that_of_the_vector():
    cosines = tensor(CASE["inputs"]["sim"])
    found = contrasted(cosines, torch.ones_like(cosines), 0, CASE["inputs"]["tau"])
    torch.testing.assert_close(found, tensor(CASE["outputs"]["loss"]), atol=1e-9, rtol=0)


def given(states=STATES):
    return {
        "values": torch.zeros(states.shape[:2], dtype=torch.float64),
        "labels": tensor([[1.0, 0.0]]).expand(len(states), 2),
        "embeddings": states.clone().requires_grad_(),
    }


def with_(name, **options):
    objective = load_objective("bradley_terry", regularizers={name: {"weight": 1.0, **options}})
    objective.bind({"embeddings": (8,)})
    return objective


def test_without_dropout_simcse_is_the_contrast_of_directions():
    signals = given()
    found = with_("simcse", dropout=0.0, temperature=0.2)(**signals).parts["simcse"].mean
    directions = F.normalize(STATES.flatten(0, 1), dim=1)
    expected = F.cross_entropy(directions @ directions.T / 0.2, torch.arange(6))
    torch.testing.assert_close(found, expected)


def test_differences_contrast_pairs():
    signals = given()
    found = with_("simcse", of="differences", dropout=0.0, temperature=0.2)(**signals).parts["simcse"].mean
    directions = F.normalize(STATES[:, 0] - STATES[:, 1], dim=1)
    torch.testing.assert_close(found, F.cross_entropy(directions @ directions.T / 0.2, torch.arange(3)))


def test_views_change_with_every_step_of_training_and_not_beyond():
    objective, signals = with_("simcse", dropout=0.5), given()
    term = objective.modules["simcse"]
    found = [objective(**signals).parts["simcse"].mean.item() for _ in range(3)]
    assert len(set(found)) == 3
    assert term.step == 3
    term.eval()
    assert objective(**signals).parts["simcse"].mean.item() == pytest.approx(found[-1])
    again = with_("simcse", dropout=0.5)
    again.modules["simcse"].load_state_dict(term.state_dict())
    again.modules["simcse"].eval()
    assert again(**signals).parts["simcse"].mean.item() == pytest.approx(found[-1])


def test_training_brings_the_views_of_a_response_together():
    for name in ("simcse", "swav"):
        objective, signals = with_(name, dropout=0.4), given()
        objective.modules[name].eval()
        before = objective(**signals).parts[name].mean
        (slope,) = torch.autograd.grad(before, signals["embeddings"])
        moved = given(STATES - 0.5 * slope)
        assert objective(**moved).parts[name].mean < before


@pytest.mark.parametrize("name", ["simcse", "swav"])
def test_a_micro_batch_that_keeps_its_rank_in_step_is_none_of_the_rows(name):
    objective, signals = with_(name), given()
    gathered = {name: objective.contribute(**signals)[name].none()}
    assert torch.isfinite(objective(**signals, gathered=gathered).parts[name].mean)


def test_codes_use_all_clusters_alike():
    scores = torch.randn(60, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64) * 0.1
    weights = torch.ones(60, dtype=torch.float64)
    weights[50:] = 0
    found = shares(scores, weights)
    torch.testing.assert_close(found.sum(dim=1), torch.ones(60, dtype=torch.float64))
    used = found[:50].sum(dim=0)
    assert used.max() < 1.5 * used.min()
    torch.testing.assert_close(found[:50], shares(scores[:50], weights[:50]))
    raw = F.one_hot(scores[:50].argmax(dim=1)).sum(dim=0)
    assert raw.max() > 1.2 * raw.min()
