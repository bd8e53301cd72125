"""A vLLM that runs already draws for us: `ALIGNLAB_VLLM=http://127.0.0.1:8000` names it (docs/serving.md)."""

import os

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from alignlab.sampling.in_process import InProcess
from alignlab.sampling.rollout import Prompt
from alignlab.sampling.scored import token_logps
from alignlab.sampling.settings import Sampling
from alignlab.sampling.vllm import VLLM

URL = os.environ.get("ALIGNLAB_VLLM")
ASKED = [Prompt(f"row-{i}", [1, 504 + i, 29, 260]) for i in range(4)]


def ids(rollouts):
    return [ids.tolist() for rollout in rollouts for ids in rollout.responses]


@pytest.mark.slow
@pytest.mark.skipif(not URL, reason="ALIGNLAB_VLLM names no vLLM of a float32 model folder of this machine")
def test_vllm_draws_from_the_weights_that_it_is_given():
    folder = VLLM(None, [], url=URL).served.name
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    generator = VLLM(model, [model.generation_config.eos_token_id], url=URL)
    generator.sync(7)
    how = Sampling(temperature=0.7, max_new_tokens=16)
    rollouts = generator.draw(ASKED, 3, how)
    assert ids(rollouts) == ids(generator.draw(ASKED, 3, how))
    assert [rollout.version for rollout in rollouts] == [7] * 4
    plain = generator.draw(ASKED, 3, Sampling(max_new_tokens=16))
    for rollout, scores in zip(plain, token_logps(model, plain), strict=True):
        for ours, theirs in zip(scores, rollout.token_logps, strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-3)
    greedy = Sampling(decoder="greedy", max_new_tokens=16)
    here = InProcess(model, generator.stop).draw(ASKED, 2, greedy)
    assert ids(generator.draw(ASKED, 2, greedy)) == ids(here)
