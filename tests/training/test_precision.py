"""What `trainer.precision=auto` comes to."""

from dataclasses import replace
from functools import partial

import pytest
import torch

from alignlab.policies.causal_lm.adapter_settings import PeftSettings
from alignlab.policies.causal_lm.adapters import lora
from alignlab.policies.causal_lm.model import CausalLM
from alignlab.policies.policy import NO_REFERENCES
from alignlab.runs.folder import RunFolder
from alignlab.training.checkpointing.checkpoints import Checkpoints
from alignlab.training.opened import load, place, prepare, read
from alignlab.training.placing import Place
from alignlab.training.settings import TrainerSpec
from alignlab.training.trainer import make_trainer, precision_of
from tests.training.small import load_small, small_stage


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


@pytest.mark.parametrize("adapted", [False, True])
def test_float64_reaches_the_kept_scores_of_the_reference(tmp_path, adapted):
    """Of a reference that is the policy itself, and of one that is loaded beside it, as that of adapters is."""
    stage = small_stage(tmp_path, trainer={"precision": "64-true"})
    if adapted:
        settings = PeftSettings(method="lora", target_modules=["q_proj"])
        stage = replace(stage, load_model=partial(lora, load_small, settings))
    trainer = make_trainer(stage, RunFolder(tmp_path), Checkpoints(tmp_path))
    ready = prepare(place(load(stage, read(stage)), Place.of(trainer, spreads=False)), steps=1)
    (batch,) = next(iter(ready.loader))
    exact = CausalLM(load_small(torch.float64)[0]).signals(batch, NO_REFERENCES, ())["logps"]
    assert batch.cached["ref_logps"].dtype == torch.float64
    torch.testing.assert_close(batch.cached["ref_logps"], exact, rtol=0, atol=1e-10)
    policy = ready.opened.policy.signals(batch, NO_REFERENCES, ())["logps"]
    assert (policy - batch.cached["ref_logps"]).abs().max() < 1e-10


def test_what_was_asked_for_stays():
    assert precision_of(TrainerSpec(precision="64-true")) == "64-true"
