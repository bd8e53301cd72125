"""MORE: weights of tasks on the simplex, a shared direction, and Bradley-Terry where tasks agree."""

import math

import pytest
import torch

from alignlab import load_objective
from alignlab.errors import ConfigError
from alignlab.losses.pairs.more import MORE, shortest
from alignlab.objective.gathered import Gathered
from tests.vectors import more, tensor

CASE = more()["B5_more"]
GIVEN, EXPECTED = CASE["inputs"], CASE["outputs"]


def pair(*names, unit=False):
    rows = torch.stack([tensor(GIVEN[name]) for name in names])
    return torch.nn.functional.normalize(rows, dim=1) if unit else rows


@pytest.mark.parametrize(
    ("names", "unit", "vector"),
    [
        (("g1", "g2"), False, "lam_raw"),
        (("g1", "g2"), True, "lam_l2"),
        (("g_a", "g_b"), False, "lam_dominated"),
        (("g_c", "g_d"), False, "lam_cd"),
    ],
)
def test_weights_of_two_tasks_are_those_of_the_vectors(names, unit, vector):
    assert shortest(pair(*names, unit=unit))[0].item() == pytest.approx(EXPECTED[vector], abs=1e-9)


def test_the_common_direction_is_that_of_the_vector():
    rows = pair("g_c", "g_d")
    torch.testing.assert_close(shortest(rows) @ rows, tensor(EXPECTED["common_dir_cd"]), atol=1e-9, rtol=0)


def test_the_common_direction_goes_against_no_task():
    rows = torch.randn(5, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    weights = shortest(rows)
    common = weights @ rows
    assert weights.min() >= 0
    assert weights.sum().item() == pytest.approx(1)
    products = rows @ common
    square = common.square().sum()
    assert (
        products >= square - 1e-9
    ).all()  # the condition of the minimum, with equality where a weight is not 0
    torch.testing.assert_close(products[weights > 0], square.expand(int((weights > 0).sum())))


def test_a_task_without_a_gradient_has_the_mean_weight():
    rows = torch.cat([pair("g_c", "g_d"), torch.zeros(1, 2, dtype=torch.float64)])
    torch.testing.assert_close(shortest(rows), torch.cat([shortest(rows[:2]) * 2 / 3, tensor([1 / 3])]))


def signals(embeddings, tasks):
    head = tensor([0.3, -0.2])
    values = (embeddings @ head).requires_grad_()
    labels = tensor([[1.0, 0.0]]).expand(len(embeddings), 2)
    return {"values": values, "embeddings": embeddings, "labels": labels, "tasks": tensor(tasks)}


def bound(tasks=2, **hyper):
    objective = load_objective("more", **hyper)
    objective.bind({"embeddings": (2,), "tasks": (tasks,)})
    return objective


STATES = tensor([[[1.0, 0.2], [0.1, 0.9]], [[0.3, -0.5], [1.5, 0.4]], [[-0.2, 0.8], [0.6, 0.1]]])


@pytest.mark.parametrize("tasks", [[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]])
def test_one_task_is_bradley_terry(tasks):
    given = signals(STATES, tasks)
    plain = load_objective("bradley_terry")(values=given["values"], labels=given["labels"]).loss
    torch.testing.assert_close(bound()(**given).loss, plain)


def test_equal_gradients_are_bradley_terry():
    given = signals(STATES[:1].expand(2, 2, 2), [0.0, 1.0])
    assert bound()(**given).loss.item() == pytest.approx(
        load_objective("bradley_terry")(values=given["values"], labels=given["labels"]).loss.item()
    )


def test_weights_follow_the_moving_gradients_of_the_head():
    given, objective = signals(STATES, [0.0, 1.0, 1.0]), bound(alpha=0.75)
    loss = next(iter(objective.modules.values()))
    gaps = given["values"][:, 0] - given["values"][:, 1]
    slopes = -torch.sigmoid(-gaps.detach())[:, None] * (STATES[:, 0] - STATES[:, 1])
    outcome = objective(**given)
    first = torch.stack([slopes[0], slopes[1:].mean(dim=0)])
    torch.testing.assert_close(loss.gradients, first)
    weights = shortest(torch.nn.functional.normalize(first, dim=1))
    bt = torch.nn.functional.softplus(-gaps)
    expected = 2 * (weights[0] * bt[0] + weights[1] * bt[1:].sum()) / 3
    torch.testing.assert_close(outcome.loss, expected)
    assert outcome.reports["more/largest"].mean.item() == pytest.approx(weights.max().item())
    objective(**signals(-STATES, [0.0, 1.0, 1.0]))
    assert not torch.allclose(loss.gradients, first)
    before = loss.gradients.clone()
    loss.eval()
    objective(**given)
    assert torch.equal(loss.gradients, before)


def test_before_the_first_step_all_pairs_weigh_the_same_and_it_has_to_be_bound():
    torch.testing.assert_close(bound().modules["more"].weights(), tensor([1.0, 1.0]))
    with pytest.raises(ConfigError, match="bind it to a model first"):
        MORE().absorb(Gathered(torch.zeros(1, 3), torch.ones(1)))
    assert math.isfinite(bound()(**signals(STATES, [0.0, 1.0, 0.0])).loss.item())
