"""Micro-batches change nothing: the step is that of the whole batch, for any token budget."""

import pytest
import torch

from alignlab.runs.folder import RunFolder
from alignlab.training.module import PreferenceModule
from alignlab.training.spec import ReferenceSpec
from alignlab.training.stage import run_stage
from tests.training.small import load_small, small_stage

OBJECTIVES = {
    "dpo": {},
    "lipo_lambda sft kl length": {"regularizers": ["sft", "kl", "length"]},
    "dpo sum": {"reduction": "sum"},
    "dpo all pairs": {"pairs": "all"},
    "simpo": {},
    "bco": {},
}
CASES = [(case, "32-true") for case in OBJECTIVES] + [(case, "64-true") for case in list(OBJECTIVES)[:2]]
TOLERANCE = {"32-true": 1e-6, "64-true": 1e-12}


def after_one_step(folder, case, budget, precision):
    dtype = torch.float64 if precision == "64-true" else torch.float32
    stage = small_stage(
        folder,
        case.split()[0],
        hyper=OBJECTIVES[case],
        data={"microbatch_tokens": budget},
        trainer={"max_steps": 1, "precision": precision, "gradient_clip_val": None},
        load_model=lambda: load_small(dtype),
        make_optimizer=plain_sgd,
    )
    result = run_stage(stage, RunFolder(folder))
    return result, torch.cat([p.detach().flatten() for p in result.model.parameters()])


def plain_sgd(policy, steps, count):
    """Weights after the step are linear in the gradient, so equal weights mean equal gradients."""
    optimizer = torch.optim.SGD(policy.parameters(), lr=0.01)
    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)


@pytest.mark.parametrize(("case", "precision"), CASES)
def test_weights_after_a_step_do_not_depend_on_the_token_budget(case, precision, tmp_path):
    results = [after_one_step(tmp_path / str(b), case, b, precision) for b in (10**6, 1)]
    start = torch.cat([p.detach().flatten() for p in load_small()[0].parameters()])
    whole, cut = (weights for _, weights in results)
    assert (whole - start).abs().max() > 1e-4
    assert (cut - whole).abs().max() < TOLERANCE[precision]
    names = ["val/loss", *(["val/lipo_lambda/lambda_weight"] if case.startswith("lipo_lambda") else [])]
    for name in names:
        assert results[1][0].final[name] == pytest.approx(results[0][0].final[name], abs=1e-5)


@pytest.mark.parametrize(("objective", "budget", "expected"), [("kto", 10**6, 1), ("aot", 1, 2 * 8)])
def test_statistics_of_a_step_cost_a_forward_only_where_it_has_several_micro_batches(
    objective, budget, expected, tmp_path, monkeypatch
):
    forwards, counts = [], []
    signals, training_step = PreferenceModule.signals, PreferenceModule.training_step

    def counted(self, sealed, number):
        before = len(forwards)
        training_step(self, sealed, number)
        counts.append(len(forwards) - before)

    monkeypatch.setattr(
        PreferenceModule, "signals", lambda self, batch: forwards.append(batch) or signals(self, batch)
    )
    monkeypatch.setattr(PreferenceModule, "training_step", counted)
    one_step = {"max_steps": 1, "validate_every_n_steps": 9}
    stage = small_stage(tmp_path, objective, data={"microbatch_tokens": budget}, trainer=one_step)
    run_stage(stage, RunFolder(tmp_path))
    assert counts == [expected]


@pytest.mark.parametrize("objective", ["dpo", "lipo_lambda"])
def test_live_and_precomputed_reference_give_one_loss(objective, tmp_path):
    """Another model, so that no rounding of equal scores decides ranks."""
    results = []
    for mode in ("live", "precomputed"):
        other = ReferenceSpec(mode, "other", lambda: load_small(seed=1), is_start=False)
        stage = small_stage(tmp_path / mode, objective, reference=other)
        results.append(run_stage(stage, RunFolder(tmp_path / mode)))
    live, cached = results
    assert live.facts["reference"]["mode"] == "live"
    assert cached.facts["reference"]["mode"] == "precomputed"
    for name in ("val/loss", "val/rewards/margin", "val/logratio"):
        assert live.final[name] == pytest.approx(cached.final[name], abs=1e-5)
        assert live.final[name] != live.initial[name]


def test_the_sum_is_the_mean_times_the_lists(tmp_path):
    mean, summed = (
        run_stage(small_stage(tmp_path / r, hyper={"reduction": r}), RunFolder(tmp_path / r)).initial[
            "val/loss"
        ]
        for r in ("mean", "sum")
    )
    assert summed == pytest.approx(8 * mean, rel=1e-6)
