"""Autograd's gradient is the slope, once all that a loss holds constant is held constant."""

from unittest.mock import patch

import torch

from tests.invariants.batches import is_score, policy_leaves, random_signals
from tests.invariants.cases import BESIDE, CASES, bound, build, for_each, whole


class Held:
    """In place of `Tensor.detach`: what the first run detached, every later run detaches too, in that order.

    So a weight or a statistic that a loss sets apart from its gradient stays as it is while its inputs move.
    """

    def __init__(self):
        self.values, self.at, self.detach = [], 0, torch.Tensor.detach

    def run(self, function, *inputs):
        self.at = 0
        with patch.object(torch.Tensor, "detach", lambda tensor: self(tensor)):
            return function(*inputs)

    def __call__(self, tensor):
        if self.at == len(self.values):
            self.values.append(self.detach(tensor).clone())
        self.at += 1
        return self.values[self.at - 1]


def assert_slope(objective, signals):
    """torch.autograd.gradcheck by every signal of the policy; statistics of the step stay as they are."""
    gathered, held = objective.contribute(**signals), Held()
    objective.absorb(gathered)
    leaves = policy_leaves(signals)
    names = [name for name in leaves if is_score(name)]

    def loss(*scores):
        return objective(**(leaves | dict(zip(names, scores, strict=True))), gathered=gathered).loss

    assert torch.autograd.gradcheck(
        lambda *scores: held.run(loss, *scores), tuple(leaves[name] for name in names), fast_mode=True
    )


@for_each("case", CASES)
def test_gradient_is_the_slope(case):
    objective = build(case)
    assert_slope(objective, random_signals(objective))


@for_each("regularizer, name", BESIDE)
def test_gradient_beside_a_regularizer_is_the_slope(regularizer, name):
    objective = bound(whole(name, regularizers=[regularizer]))
    assert_slope(objective, random_signals(objective))
