"""What stops a run: a wrong reference at step 0, and a loss that is no number."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from alignlab.errors import RunError
from alignlab.passes.store import Store
from alignlab.runs.folder import RunFolder
from alignlab.training.callbacks import same_scores
from alignlab.training.module import PreferenceModule
from alignlab.training.opened import open_rows, prepare
from alignlab.training.rails import Finite, NonFiniteError, Tolerance, check_start
from alignlab.training.stage import run_stage, start_tolerance
from tests.end_to_end.command import TIMED
from tests.training.small import load_small, small_stage
from tests.training.test_csv_log import rows

IDS = ["row-a", "row-b"]
TIGHT = Tolerance(1e-3)


def signals(shift=0.0, gap=0.0, ref_gap=0.0):
    """Two lists of two responses: `shift` is that of all values, `gap` that of the very last one."""
    logps = torch.tensor([[-3.0, -4.0], [-5.0, -6.0]])
    last = torch.tensor([[0.0, 0.0], [0.0, 1.0]])
    return {
        "logps": logps + shift + gap * last,
        "ref_logps": logps + ref_gap * last,
        "lengths": torch.full((2, 2), 4.0),
        "where": torch.ones(2, 2, dtype=torch.bool),
    }


@pytest.mark.parametrize("tolerance", [TIGHT, Tolerance(1e-3, noise=0.5), Tolerance(1e-6)])
def test_equal_models_pass(tolerance):
    check_start(signals(), IDS, tolerance)
    empty = signals(gap=5.0) | {"where": torch.tensor([[True, True], [True, False]])}
    check_start(empty, IDS, tolerance)


def test_a_single_value_is_told_with_row_response_and_numbers():
    with pytest.raises(RunError) as caught:
        check_start(signals(gap=2.0), IDS, TIGHT)
    said = str(caught.value)
    assert all(word in said for word in ("row-b, response 1", "-4.0000", "-6.0000", "1 of 4 responses"))
    assert "reference.path" in said


@pytest.mark.parametrize("fault", [{"shift": -0.01}, {"gap": 0.01}, {"ref_gap": math.nan}])
def test_what_no_pairwise_loss_sees_is_found(fault):
    with pytest.raises(RunError, match=r"row-.*4 responses looked at"):
        check_start(signals(**fault), IDS, TIGHT)


def test_prompts_are_compared_too():
    wrong = {"prompt_logps": torch.zeros(2, 2), "ref_prompt_logps": torch.tensor([[0.0, 0.0], [0.3, 0.0]])}
    with pytest.raises(RunError, match="row-b, the prompt of response 0"):
        check_start(signals() | wrong, IDS, TIGHT)


def test_a_gap_within_the_tolerance_passes():
    check_start(signals(gap=1e-3), IDS, TIGHT)
    check_start(signals(gap=0.9), IDS, Tolerance(1e-3, noise=0.5))  # 4 tokens
    with pytest.raises(RunError):
        check_start(signals(gap=1.1), IDS, Tolerance(1e-3, noise=0.5))


def damaged(cache, damage):
    """Change what the store holds, and write it as it should be written."""
    for folder in (cache / "scores").iterdir():
        if folder.is_dir():
            vectors = Store(folder).read()
            values = vectors.values.copy()
            damage(values, np.cumsum(vectors.sizes) - vectors.sizes)
            Store(folder).add(replace(vectors, values=values))


def one_value(values, starts):
    values[starts[0]] += 0.01


def shifted(values, starts):
    values -= 0.01


def swapped(values, starts):
    first, second = (slice(start, start + 2) for start in starts[:2])
    values[first], values[second] = values[second].copy(), values[first].copy()


@pytest.mark.parametrize("damage", [one_value, shifted, swapped])
def test_kept_scores_that_are_not_those_of_the_policy_stop_a_run(tmp_path, damage):
    """Before the first step: of these few rows all are drawn to be compared."""
    prepare(open_rows(small_stage(tmp_path)), steps=3)
    damaged(tmp_path / "cache", damage)
    with pytest.raises(RunError, match=r"row .*response \d, has log-probability"):
        run_stage(small_stage(tmp_path), RunFolder(tmp_path / "run"))
    assert not RunFolder(tmp_path / "run").last_checkpoint.exists()


def test_rows_of_the_first_step_are_compared_in_it(tmp_path, monkeypatch):
    monkeypatch.setattr(same_scores, "ROWS", 0)
    prepare(open_rows(small_stage(tmp_path)), steps=3)
    damaged(tmp_path / "cache", shifted)
    with pytest.raises(RunError, match="responses looked at"):
        run_stage(small_stage(tmp_path), RunFolder(tmp_path / "run"))


@pytest.mark.parametrize(
    ("precision", "alike", "expected"),
    [
        ("32-true", False, Tolerance(1e-3)),
        ("64-true", False, Tolerance(1e-6)),
        ("bf16-mixed", True, Tolerance(0.05)),
        ("bf16-mixed", False, Tolerance(0.05, 0.5)),
    ],
)
def test_the_tolerance_is_that_of_the_precision(tmp_path, precision, alike, expected):
    stage = small_stage(tmp_path, trainer={"precision": precision})
    assert start_tolerance(stage, alike=alike) == expected


def test_a_run_against_another_reference_stops_at_step_0(tmp_path):
    stage = small_stage(tmp_path, mode="live")
    other = stage.reference.__class__("live", "other", lambda: load_small(seed=1), is_start=True)
    with pytest.raises(RunError, match=r"should start equal.*row .*response \d"):
        run_stage(small_stage(tmp_path, reference=other), RunFolder(tmp_path))
    assert not RunFolder(tmp_path).last_checkpoint.exists()


def test_the_rail_can_be_switched_off(tmp_path):
    other = small_stage(tmp_path).reference.__class__(
        "live", "other", lambda: load_small(seed=1), True, False
    )
    assert run_stage(small_stage(tmp_path, reference=other), RunFolder(tmp_path)).steps == 3


FAR = [(math.nan, 1.0), (1.0, math.inf), (math.inf, math.nan)]


@pytest.mark.parametrize(("loss", "norm"), FAR)
def test_values_that_are_no_numbers(loss, norm):
    rail = Finite()
    assert rail.passes(3, 1.0, 2.0, [], dict)
    with pytest.raises(
        NonFiniteError, match=r"step 3: loss .*lower optimizer.lr, or set trainer.on_nonfinite=skip"
    ):
        rail.passes(3, loss, norm, [], dict)


def test_as_many_steps_are_left_out_as_asked_for():
    rail = Finite(skips=2)
    assert [rail.passes(step, math.nan, 1.0, [], dict) for step in (1, 2)] == [False, False]
    assert rail.passes(3, 1.0, 1.0, [], dict)
    with pytest.raises(NonFiniteError, match=r"raise trainer.max_nonfinite=2"):
        rail.passes(4, math.nan, 1.0, [], dict)


def test_a_non_finite_step_saves_its_batch_and_stops(tmp_path):
    def exploding(policy, steps, count):
        optimizer = torch.optim.SGD(policy.parameters(), lr=1e30)
        return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)

    stage = small_stage(tmp_path, make_optimizer=exploding, data={"microbatch_tokens": 200})
    with pytest.raises(NonFiniteError, match=r"step-000002\.json"):
        run_stage(stage, RunFolder(tmp_path))
    told = json.loads((tmp_path / "nonfinite/step-000002.json").read_text())
    assert told["step"] == 2
    assert len(told["ids"]) == len(set(told["ids"])) == 8
    assert [row for part in told["micro_batches"] for row in part["ids"]] == told["ids"]
    assert all(part["not_finite"]["logps"] for part in told["micro_batches"])
    tensors = load_file(tmp_path / "nonfinite/step-000002.safetensors")
    for i, part in enumerate(told["micro_batches"]):
        assert tensors[f"{i}.tokens"].shape == tensors[f"{i}.row"].shape
        assert tensors[f"{i}.signals.logps"].shape[0] == len(part["ids"])
        assert not tensors[f"{i}.signals.logps"].isfinite().all()


@pytest.fixture
def poisoned(monkeypatch):
    """`poisoned(3)`: the third step finds log-probabilities that are no numbers."""
    signals = PreferenceModule.signals

    def at(step):
        def found(module, batch):
            bad = module.terms.training and module.global_step == step - 1
            given = signals(module, batch)
            return given | {"logps": given["logps"] * math.nan} if bad else given

        monkeypatch.setattr(PreferenceModule, "signals", found)

    return at


def skipping(folder, steps, skips=1):
    """Trained with a loss that has a running state: final weights, that state, and what was reported."""
    trainer = {"max_steps": steps, "on_nonfinite": "skip", "max_nonfinite": skips}
    stage = small_stage(folder, "bco", mode="live", hyper={"delta": "running"}, trainer=trainer)
    model = run_stage(stage, RunFolder(folder)).model
    reported = [{k: v for k, v in row.items() if k not in TIMED} for row in rows(folder / "metrics.csv")]
    return model.state_dict(), stage.objective.modules["bco"].state_dict(), reported


def test_a_step_left_out_moves_nothing_and_counts(tmp_path, poisoned):
    poisoned(3)
    before, state_before, _ = skipping(tmp_path / "two", steps=2)
    after, state_after, told = skipping(tmp_path / "three", steps=3)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(torch.equal(state_before[name], state_after[name]) for name in state_before)
    trained = [row for row in told if row["train/loss"]]
    assert [row["train/nonfinite"] for row in trained] == ["0", "0", "1"]
    assert [row["train/loss"] == "nan" for row in trained] == [False, False, True]


def test_what_follows_a_step_left_out_is_exact_on_resume(tmp_path, poisoned):
    poisoned(3)
    whole, state, told = skipping(tmp_path / "whole", steps=6)
    skipping(tmp_path / "parts", steps=4)
    resumed, resumed_state, retold = skipping(tmp_path / "parts", steps=6)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert all(torch.equal(state[name], resumed_state[name]) for name in state)
    trained = [[row for row in report if row["train/loss"]] for report in (told, retold)]
    assert trained[0] == trained[1]
    assert len(trained[0]) == 6
