"""Weights in a low precision that a step of the learning rate does not move: told before they are trained."""

import logging

import pytest
import torch

from alignlab.training.optim import movable, warn_of_rounding


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize("step", [1e-6, 1e-4, 1e-2])
def test_the_share_that_moves_is_that_of_weights_which_do(dtype, step):
    weights = torch.cat([torch.randn(4000) * scale for scale in (0.02, 1.0)] + [torch.zeros(100)]).to(dtype)
    moved = (weights.float() + step).to(dtype) != weights
    assert movable([weights], step) == pytest.approx(moved.float().mean().item(), abs=0.02)


def test_tensors_count_by_their_size():
    small, large = torch.full((10,), 1e-4, dtype=torch.bfloat16), torch.ones(300_000, dtype=torch.bfloat16)
    assert movable([small, large], 1e-4) == pytest.approx(10 / 300_010)
    assert movable([], 1e-4) == 1.0


def test_only_weights_of_a_low_precision_are_told_of(caplog):
    weights = torch.randn(1000)
    with caplog.at_level(logging.WARNING, logger="alignlab"):
        warn_of_rounding([weights], 1e-7)
        warn_of_rounding([weights.bfloat16()], 1e-1)
        assert not caplog.records
        warn_of_rounding([weights.bfloat16(), weights], 5e-7)
    assert "bfloat16 weights round off most of the training" in caplog.text
    assert "model.loader.dtype=float32" in caplog.text
