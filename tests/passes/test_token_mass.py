"""Mean probabilities at the positions of chosen responses: as the model's own logits give them, one by one."""

import numpy as np
import pytest
import torch

from alignlab.passes.token_mass import mass
from alignlab.policies.causal_lm.model import CausalLM
from tests.passes.test_hidden_products import rows  # noqa: F401
from tests.training.small import load_small


@pytest.mark.parametrize("packing", ["auto", "off"])
@torch.no_grad()
def test_they_are_those_of_each_chosen_response_alone(rows, packing):  # noqa: F811
    few, model = rows.take(range(6)), load_small(torch.float64)[0]
    told = []
    found = mass(CausalLM(model, packing=packing), few, budget=200, track=told.append)
    own, others = [], []
    for index in range(len(few)):
        ((prompt, members),) = few.parts(index)
        response = few.responses[members[int(few.labels[index].argmax())]]
        ids = torch.tensor(np.concatenate([prompt, response]).astype(np.int64))[None]
        probabilities = model(input_ids=ids).logits[0, len(prompt) - 1 : -1].softmax(-1)
        targets = ids[0, len(prompt) :, None]
        own.append(probabilities.gather(1, targets)[:, 0])
        others.append(probabilities.scatter(1, targets, 0.0))
    assert sum(told) == len(few)
    assert found.positions == len(torch.cat(own))
    assert found.own == pytest.approx(torch.cat(own).mean().item(), abs=1e-9)
    torch.testing.assert_close(found.others, torch.cat(others).mean(0), atol=1e-9, rtol=0)
    assert found.own + found.others.sum().item() == pytest.approx(1.0)
