"""What `trainer.precision=auto` comes to."""

import pytest
import torch

from alignlab.training.settings import TrainerSpec
from alignlab.training.trainer import precision_of


@pytest.mark.parametrize(
    ("accelerator", "gpu", "bf16", "expected"),
    [
        ("auto", True, True, "bf16-mixed"),
        ("gpu", True, True, "bf16-mixed"),
        ("auto", True, False, "32-true"),
        ("auto", False, True, "32-true"),
        ("cpu", True, True, "32-true"),
    ],
)
def test_bf16_where_a_gpu_computes_in_it(monkeypatch, accelerator, gpu, bf16, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: bf16)
    assert precision_of(TrainerSpec(accelerator=accelerator)) == expected


def test_what_was_asked_for_stays():
    assert precision_of(TrainerSpec(precision="64-true")) == "64-true"
