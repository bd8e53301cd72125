"""The loss of preference models, and what their metrics go by."""

import math

import pytest
import torch

from alignlab import load_objective
from alignlab.metrics.preference import preference_metrics
from alignlab.metrics.split_metrics import Rows
from tests.vectors import more, tensor

CASE = more()["B3_gpm"]
ROUND = tensor([CASE["outputs"]["score_matrix"]])
"""The scores of three responses, each of which beats the next one."""


def wins_of(labels):
    return (1 + (labels[:, :, None] - labels[:, None, :]).sign()) / 2


def test_gpm_vector_and_slope():
    score = CASE["outputs"]["s_ab"]
    scores = tensor([[[0.0, score], [-score, 0.0]]]).requires_grad_()
    objective = load_objective("gpm", temperature=CASE["inputs"]["tau"])
    loss = objective(preferences=scores, wins=wins_of(tensor([[1.0, 0.0]]))).loss
    assert loss.item() == pytest.approx(CASE["outputs"]["loss"], abs=1e-9)
    (slope,) = torch.autograd.grad(loss, scores)
    assert slope[0, 0, 1].item() == pytest.approx(-10 / (1 + math.exp(score / 0.1)), rel=1e-9)


def test_slopes_are_those_of_finite_differences():
    objective = load_objective("gpm", ties=True, margin=0.2)
    half, wins = ROUND.clone().requires_grad_(), wins_of(tensor([[2.0, 1.0, 1.0]]))
    assert torch.autograd.gradcheck(
        lambda x: objective(preferences=x - x.transpose(1, 2), wins=wins).loss, (half,)
    )


def test_a_circle_is_learned_that_labels_cannot_tell():
    wins = tensor([[[0.5, 1.0, 0.0], [0.0, 0.5, 1.0], [1.0, 0.0, 0.5]]])
    objective = load_objective("gpm")
    outcome = objective(preferences=ROUND, wins=wins)
    assert outcome.loss.item() == pytest.approx(math.log1p(math.exp(-8.660254)), rel=1e-5)
    assert outcome.parts["gpm"].count == 3


def test_ties_count_where_they_are_wanted_and_margins_ask_for_more():
    wins, scores = wins_of(tensor([[1.0, 1.0, 0.0]])), 0.1 * ROUND
    losses = [
        load_objective("gpm", **hyper)(preferences=scores, wins=wins).parts["gpm"]
        for hyper in ({}, {"ties": True}, {"margin": 0.1})
    ]
    assert [part.count.item() for part in losses] == [2, 3, 2]
    x = 0.866025
    tie = (math.log1p(math.exp(-x)) + math.log1p(math.exp(x))) / 2
    assert (losses[1].sum - losses[0].sum).item() == pytest.approx(tie, rel=1e-5)
    assert losses[2].sum > losses[0].sum
    counts = load_objective("gpm").counts(labels=tensor([[1.0, 1.0, 0.0]]), wins=wins)
    assert counts["gpm"] == 2


def measured(labels, preferences=ROUND, **wins):
    signals = {
        **wins,
        "labels": labels,
        "lengths": torch.ones_like(labels),
        "where": torch.ones_like(labels) > 0,
    }
    reward = load_objective("gpm").reward
    split = Rows.joined([{**signals, "preferences": preferences}], reward)
    parts = preference_metrics(**signals, preferences=preferences, reward=reward)
    return {name: part.mean.item() for name, part in parts.items()}, split


def test_accuracy_goes_by_the_scores_of_pairs():
    metrics, split = measured(tensor([[2.0, 1.0, 0.0]]))  # 0 beats 1 beats 2, and 2 beats 0
    assert metrics["rewards/accuracy"] == pytest.approx(2 / 3)
    assert sorted(split.margins.tolist()) == pytest.approx([-8.66025, 8.66025, 8.66025], abs=1e-4)


def test_accuracy_goes_by_who_was_preferred_to_whom_where_rows_tell():
    wins = tensor([[[0.5, 1.0, 0.0], [0.0, 0.5, 1.0], [1.0, 0.0, 0.5]]])
    metrics, split = measured(tensor([[2.0, 1.0, 0.0]]), wins=wins)
    assert metrics["rewards/accuracy"] == 1
    assert split.margins.tolist() == pytest.approx([8.660254] * 3)


def test_rewards_are_mean_scores_against_the_list():
    metrics, split = measured(tensor([[1.0, 0.0]]), tensor([[[0.0, 0.3], [-0.3, 0.0]]]))
    assert metrics["rewards/chosen"] == pytest.approx(1.5)
    assert metrics["rewards/margin"] == pytest.approx(3.0)
    torch.testing.assert_close(split.rewards, tensor([[1.5, -1.5]]))


def test_lists_of_other_sizes_join():
    parts = [
        {
            "labels": torch.arange(k)[None].double(),
            "lengths": torch.ones(1, k),
            "where": torch.ones(1, k) > 0,
            "preferences": ROUND[:, :k, :k],
        }
        for k in (2, 3)
    ]
    assert len(Rows.joined(parts, load_objective("gpm").reward).margins) == 4
