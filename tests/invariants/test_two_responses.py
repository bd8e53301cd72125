"""What the objectives come to on a list of two."""

import torch
from torch.testing import assert_close

from alignlab import load_objective
from alignlab.objective.pair_selection import CHOICES
from tests.invariants.batches import loss_and_gradients, random_signals
from tests.invariants.cases import OBJECTIVES, bound, for_each

PAIRWISE = [name for name in OBJECTIVES if load_objective(name).is_pairwise]


@for_each("name", PAIRWISE)
def test_every_choice_of_pairs_is_the_one_pair(name):
    signals = random_signals(load_objective(name), width=2)
    results = [loss_and_gradients(bound(load_objective(name, pairs=pairs)), signals) for pairs in CHOICES]
    for loss, slopes in results[1:]:
        assert_close(loss, results[0][0])
        for key, slope in slopes.items():
            assert_close(slope, results[0][1][key])


def test_slic_without_its_cross_entropy_ignores_a_common_shift():
    objective = load_objective("slic")
    signals = random_signals(objective, width=2)
    signals["where"] = torch.ones_like(signals["where"])
    moved = signals | {"logps": signals["logps"] - 5.0}
    assert_close(objective(**moved).loss, objective(**signals).loss)
