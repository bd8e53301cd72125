"""Samples of the policy ride beside the lists of the data, and have no slot there."""

import numpy as np
import pytest
import torch

from alignlab.data.batching.batches import StepLoader, within_budget
from alignlab.online.beside import Beside
from alignlab.online.rows import with_blank_samples
from alignlab.sampling.in_process import InProcess
from alignlab.sampling.rollout import Prompt
from alignlab.sampling.settings import Sampling
from alignlab.training.opened import open_rows
from tests.training.small import small_policy, small_stage


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    return open_rows(small_stage(tmp_path_factory.mktemp("rows")))


@pytest.mark.parametrize("budget", [4096, 1])
def test_samples_are_scored_as_they_were_drawn_and_lists_as_without_them(opened, budget):
    rows, policy = opened.splits.train, small_policy()
    sampler, rollouts = InProcess(policy.model, sorted(opened.encoder.stops)), []

    def draw(numbers):
        asked = [Prompt(rows.ids[number], rows.prompts[number].tolist()) for number in numbers]
        rollouts.extend(sampler.draw(asked, 3, Sampling(max_new_tokens=8)))
        return rollouts

    loader = StepLoader(rows, lists_per_step=4, microbatch_tokens=budget, steps=1, packed=policy.packed)
    (step,) = Beside(loader, draw)
    (plain,) = loader
    logps = {r.id: [values.sum() for values in r.token_logps] for r in rollouts}
    alone = {name: row for batch in plain for name, row in zip(batch.ids, policy(batch).logps, strict=True)}
    assert len(step) == (1 if budget > 1 else 4)
    for batch in step:
        scores = policy(batch, reference=policy, wanted={"sample_logps", "sample_ref_logps"})
        drawn = torch.tensor([logps[name] for name in batch.ids])
        torch.testing.assert_close(scores.more["sample_logps"], drawn, atol=1e-5, rtol=0)
        assert scores.more["sample_logps"].requires_grad
        assert not scores.more["sample_ref_logps"].requires_grad
        for name, row in zip(batch.ids, scores.logps, strict=True):
            size = len(alone[name])
            torch.testing.assert_close(row[:size], alone[name])


def test_budgets_hold_samples_too(opened):
    rows = opened.splits.train
    more = with_blank_samples(rows, 2, 50)
    assert np.array_equal(more.unique, rows.unique + 100)
    assert (more.widths == np.maximum(rows.widths, rows.prompts.lengths + 50)).all()
    for packed in (True, False):
        for group in within_budget(more, range(len(more)), 800, packed=packed):
            assert len(group) == 1 or more.take(group).unique.sum() <= 800
    assert more.take([3, 1]).samples[1][0].tolist() == [0] * 50
