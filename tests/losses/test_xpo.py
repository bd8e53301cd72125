"""XPO tells how much of its gradient is optimism."""

import pytest
import torch
from torch.testing import assert_close

from alignlab.losses.pairs.xpo import xpo


@pytest.mark.parametrize("alpha", [0.0, 0.02])
def test_the_share_of_optimism_is_that_of_the_slopes_over_both_log_probabilities(alpha):
    chosen, rejected = torch.tensor([-3.0, -5.0, -4.0]), torch.tensor([-4.0, -4.0, -9.0])
    chosen.requires_grad_(), rejected.requires_grad_()
    sides = (
        torch.tensor([1.0, 0.0, 0.0]),
        torch.tensor([0.0, 1.0, 0.0]),
    )  # the third pair has none of the reference
    parts = []
    for weight in (0.0, alpha):
        loss, reports = xpo(chosen, rejected, -4 * torch.ones(3), -5 * torch.ones(3), *sides, alpha=weight)
        parts.append(torch.stack(torch.autograd.grad(loss.sum(), (chosen, rejected))))
    preference, optimism = parts[0].abs().sum(dim=0), (parts[1] - parts[0]).abs().sum(dim=0)
    share, counts = reports["optimism"]
    assert_close(share, counts * optimism / (optimism + preference))
    assert counts.tolist() == [1.0, 1.0, 0.0]
