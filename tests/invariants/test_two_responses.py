"""What the objectives come to on a list of two."""

import math

import pytest
import torch
from torch.testing import assert_close

from alignlab import load_objective
from alignlab.objectives.pairs import CHOICES
from tests.invariants.cases import PAIRWISE, loss_and_gradients, random_signals

DPO = load_objective("dpo", beta=0.3)


def two_responses(objective):
    signals = random_signals(objective, width=2)
    return signals | {"where": torch.ones_like(signals["where"])}


def assert_same(got, expected, scale=1.0):
    (loss, gradients), (expected_loss, expected_gradients) = got, expected
    assert_close(loss, scale * expected_loss)
    for name, gradient in expected_gradients.items():
        assert_close(gradients[name], scale * gradient)


def test_list_mle_is_dpo():
    signals = two_responses(DPO)
    list_mle = load_objective("list_mle", beta=0.3)
    assert_same(loss_and_gradients(list_mle, signals), loss_and_gradients(DPO, signals))


def test_lipo_lambda_is_dpo_times_the_drop_of_the_discount():
    signals = two_responses(DPO)
    lipo = load_objective("lipo_lambda", beta=0.3)
    scale = 1 / math.log(2) - 1 / math.log(3)
    assert_same(loss_and_gradients(lipo, signals), loss_and_gradients(DPO, signals), scale)


@pytest.mark.parametrize("pairs", CHOICES)
@pytest.mark.parametrize("name", PAIRWISE)
def test_every_choice_of_pairs_is_the_one_pair(name, pairs):
    objective = load_objective(name, pairs="best_worst")
    signals = random_signals(objective, width=2)
    chosen = loss_and_gradients(load_objective(name, pairs=pairs), signals)
    assert_same(chosen, loss_and_gradients(objective, signals))


def test_swapped_labels_negate_the_margin_of_dpo():
    """L(h) - L(-h) = -beta h, and the two slopes add up to beta."""
    signals = two_responses(DPO)
    swapped = signals | {"labels": 1 - signals["labels"]}
    loss, gradients = loss_and_gradients(DPO, signals)
    swapped_loss, swapped_gradients = loss_and_gradients(DPO, swapped)
    logratios = signals["logps"] - signals["ref_logps"]
    sign = 2 * signals["labels"] - 1
    assert_close(loss - swapped_loss, -0.3 * (sign * logratios).sum(dim=1).mean())
    assert_close(gradients["logps"] - swapped_gradients["logps"], -0.3 * sign / 6)


@pytest.mark.parametrize("name", ["dpo", "ipo"])
def test_gradients_of_the_two_sides_cancel(name):
    objective = load_objective(name, **({"aggregate": "sum"} if name == "ipo" else {}))
    _, gradients = loss_and_gradients(objective, two_responses(objective))
    assert (gradients["logps"] != 0).all()
    assert_close(gradients["logps"].sum(dim=1), torch.zeros(6, dtype=torch.float64))


def test_slic_without_its_cross_entropy_ignores_a_common_shift():
    objective = load_objective("slic")
    signals = two_responses(objective)
    moved = signals | {"logps": signals["logps"] - 5.0}
    assert_close(objective(**moved).loss, objective(**signals).loss)
