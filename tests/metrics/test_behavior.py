"""How far the policy is from what drew its responses: by hand, in any batching, and without the reference's."""

import math

import pytest
import torch

from alignlab.metrics.behavior import behavior_metrics, with_effective
from alignlab.metrics.meter import Meter

LOGPS = torch.tensor([[-1.0, -2.0, -4.0], [-3.0, -3.0, 0.0]])
BEHAVIOR = torch.tensor([[-1.0, -1.5, -4.0], [-4.0, -3.0, 9.0]])  # log-ratios 0, -.5, 0; 1, 0
WHERE = torch.tensor([[True, True, True], [True, True, False]])
RATIOS = [1, math.exp(-0.5), 1, math.e, 1]


def test_gap_and_effective_samples_by_hand_however_they_are_batched():
    meter = Meter()
    for rows in (slice(0, 1), slice(1, 2)):
        meter.add(behavior_metrics(logps=LOGPS[rows], behavior_logps=BEHAVIOR[rows], where=WHERE[rows]))
    squares = sum(ratio**2 for ratio in RATIOS)
    assert with_effective(meter.values()) == pytest.approx(
        {
            "behavior_gap": 1.5 / 5,
            "importance_ratio": sum(RATIOS) / 5,
            "effective_samples": sum(RATIOS) ** 2 / squares / 5,
        }
    )


def test_responses_of_the_reference_are_left_out():
    parts = behavior_metrics(
        logps=LOGPS,
        behavior_logps=BEHAVIOR,
        where=WHERE,
        ref_logps=LOGPS - 2 * torch.tensor([[1.0, 1.0, 50.0], [1.0, 2.0, 0.0]]),
        from_reference=torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, 0.0]]),
    )
    assert parts["own_logratio"].mean.item() == pytest.approx((2 + 2 + 2 + 4) / 4)
    assert parts["behavior_gap"].mean.item() == pytest.approx(1.5 / 4)
