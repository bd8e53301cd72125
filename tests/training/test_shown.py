"""Samples that a run shows without a reward: the same prompts before and after, and nothing else of the run changes."""

from dataclasses import replace

import torch

from alignlab.runs.folder import RunFolder
from alignlab.training.settings import ShownSpec
from alignlab.training.stage import run_stage
from tests.training.small import small_stage


def test_a_run_without_a_reward_shows_samples_and_trains_the_same(tmp_path):
    stage = small_stage(tmp_path, trainer={"max_steps": 2})
    quiet = run_stage(stage, RunFolder(tmp_path / "quiet"))
    shown = run_stage(
        replace(stage, shown=ShownSpec(prompts=3, samples_per_prompt=2, max_new_tokens=6)),
        RunFolder(tmp_path / "shown"),
    )
    assert quiet.samples == ()
    assert len(shown.samples) == 6
    assert all(set(row) == {"prompt", "before", "after"} for row in shown.samples)
    assert [row["prompt"] for row in shown.samples[::2]] == [row["prompt"] for row in shown.samples[1::2]]
    assert any(row["before"] != row["after"] for row in shown.samples)
    for ours, theirs in zip(shown.model.parameters(), quiet.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)
