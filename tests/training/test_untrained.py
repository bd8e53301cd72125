"""Before its first update the policy is its reference: all pairs are ties, whatever rounding says."""

import csv

import pytest
import torch

from alignlab.data.transforms.rationale import rationale
from alignlab.runs.folder import RunFolder
from alignlab.training import module
from alignlab.training.stage import run_stage
from tests.training.small import small_stage


@pytest.mark.parametrize("objective", ["dpo", "rationale_dpo"])
def test_accuracy_is_one_half_before_the_first_update(objective, tmp_path, monkeypatch):
    """Cached scores off by what another cut of the batches would change; rationales want a forward of their own."""

    def off(batch, dtype):
        known = {name: value.to(dtype) for name, value in batch.cached.items()}
        torch.manual_seed(int(batch.tokens.sum()))
        return {name: value * (1 + 1e-7 * torch.randn_like(value)) for name, value in known.items()}

    monkeypatch.setattr(module, "cached", off)
    stage = small_stage(tmp_path, objective, data={"steps": {"rationale": rationale}})
    result = run_stage(stage, RunFolder(tmp_path))
    with (tmp_path / "metrics.csv").open(newline="") as stream:
        rows = [row["train/rewards/accuracy"] for row in csv.DictReader(stream)]
    accuracies = [float(value) for value in rows if value]
    assert result.initial["val/rewards/accuracy"] == accuracies[0] == 0.5
    assert result.initial["val/rewards/margin"] == result.initial["val/logratio"] == 0
    assert result.final["val/rewards/accuracy"] != 0.5
    nll = "val/rationale_nll"
    assert (
        result.initial[nll] > result.final[nll] if objective == "rationale_dpo" else nll not in result.final
    )
