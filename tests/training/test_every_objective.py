"""Every objective, regularizer and modifier trains on the lab, discovered from conf."""

import math

import pytest
import torch

from alignlab.objective.load import load_objective
from alignlab.places import choices
from alignlab.policies.scorer import Scorer
from alignlab.runs.folder import RunFolder
from alignlab.signals import SAMPLER, provided_by
from alignlab.training.stage import run_stage
from tests.training.small import small_stage

UNTRAINABLE = {
    name
    for name in choices("regularizers")
    if provided_by(load_objective("dpo", regularizers=[name]).signals, SAMPLER)
}
OF_VALUES = ["ties", "simcse", "swav"]
"""Regularizers of reward models."""
TERMS = [("regularizers", name) for name in choices("regularizers") if name not in UNTRAINABLE]
TERMS += [("modifiers", name) for name in choices("modifiers")]


@pytest.fixture(autouse=True)
def no_alarm(caplog):
    """None of them is told that its first loss is far beyond the usual."""
    yield
    assert "first loss" not in caplog.text


OF_LISTS = ["truncated_is"]
"""Modifiers of losses of lists."""


def train(folder, objective, **hyper):
    stage = small_stage(folder, objective, hyper=hyper)
    result = run_stage(stage, RunFolder(folder))
    assert result.status == "finished"
    assert result.steps == 3
    assert math.isfinite(result.final["val/loss"])
    start = dict(stage.load_model()[0].named_parameters())
    assert any(not torch.equal(p, start[n]) for n, p in result.model.named_parameters())
    return result


@pytest.mark.parametrize("name", choices("objective"))
def test_objective_trains(name, tmp_path):
    train(tmp_path, name)


@pytest.mark.parametrize(("group", "name"), TERMS)
def test_term_trains_with_dpo(group, name, tmp_path):
    objective = "bradley_terry" if name in OF_VALUES else "grpo" if name in OF_LISTS else "dpo"
    train(tmp_path, objective, **{group: [name]})


def test_masks_from_all_activations_train_a_policy(tmp_path):
    result = train(tmp_path, "sparse_po", mask="all_activations")
    assert result.final["val/sparse_po/u_sparsity_chosen"] == result.final["val/sparse_po/d_sparsity_chosen"]


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_weight_with_a_schedule(schedule, tmp_path):
    weight = {"schedule": schedule, "start": 1.0, "end": 0.0}
    result = train(tmp_path, "dpo", regularizers={"sft": {"weight": weight}})
    initial, final = (
        values["val/loss"] - values["val/loss/dpo"] for values in (result.initial, result.final)
    )
    assert initial == pytest.approx(result.initial["val/loss/sft"], abs=1e-5)
    assert final == pytest.approx(0, abs=1e-5)


def test_statistics_of_data_alone_cost_no_forward(tmp_path, monkeypatch):
    """A step of several micro-batches is scored once more only where the statistics hold scores."""
    forward, calls = Scorer.forward, []
    monkeypatch.setattr(
        Scorer, "forward", lambda *given: (calls.append(torch.is_grad_enabled()), forward(*given))[1]
    )

    def scored(name, **hyper):
        calls.clear()
        folder = tmp_path / name
        stage = small_stage(folder, "reinforce_pp", hyper=hyper, data={"microbatch_tokens": 60})
        run_stage(stage, RunFolder(folder))
        return calls.count(True), calls.count(False)

    (trained, of_data), (again, of_scores) = scored("data"), scored("reference", beta=0.1)
    assert trained == again > 3
    assert of_scores >= of_data + trained
