"""MetaRM: the gradient is taken where unlabelled lists are told apart more, and moves the weights of before."""

from dataclasses import replace
from types import SimpleNamespace

import lightning as L
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from alignlab.data.batching.batches import collate
from alignlab.errors import DataError
from alignlab.runs.folder import RunFolder
from alignlab.training.meta import moved, spread
from alignlab.training.stage import run_stage
from alignlab.training.strategies.engine import Engine
from tests.data.ragged import draw, token_rows
from tests.training.small import small_stage
from tests.vectors import more, tensor

CASE = more()["B6_metarm"]
GIVEN, EXPECTED = CASE["inputs"], CASE["outputs"]


def rows_of(size, weight):
    """A list of so many responses; it is without a label where its weight is 0."""
    return replace(collate(token_rows(draw((size,), vocabulary=30)), [0]), weights=tensor([weight]))


def linear(weight=0.0):
    """A module whose values are products with a vector, and a step of one list of the vector."""
    scorer = nn.Linear(2, 1, bias=False).double()
    scorer.weight.data = tensor([GIVEN["theta"]])
    states = tensor([GIVEN["X_shift"]])
    module = SimpleNamespace(
        scorer=scorer,
        engine=Engine(),
        trainer=L.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, barebones=False),
        signals=lambda batch: {"values": scorer(states).squeeze(-1)},
        manual_backward=lambda loss: loss.backward(),
    )
    return module, [rows_of(3, weight)]


def test_a_step_is_that_of_the_vector():
    module, step = linear()
    theta = module.scorer.weight
    values = module.signals(step[0])["values"]
    total = spread(values, step[0].where).sum()
    assert total.item() == pytest.approx(EXPECTED["J"], abs=1e-9)
    (slope,) = torch.autograd.grad(total, theta)
    torch.testing.assert_close(slope[0], tensor(EXPECTED["grad_J"]), atol=1e-8, rtol=0)
    with moved(module, step, GIVEN["eta"]):
        torch.testing.assert_close(theta[0].detach(), tensor(EXPECTED["theta_prime"]), atol=1e-8, rtol=0)
        assert spread(module.signals(step[0])["values"], step[0].where).sum() > total
        gap = module.scorer(tensor(GIVEN["x_c"])) - module.scorer(tensor(GIVEN["x_r"]))
        loss = -F.logsigmoid(gap).sum()
        assert loss.item() == pytest.approx(EXPECTED["L_prime"], abs=1e-8)
        loss.backward()
    assert theta[0].tolist() == GIVEN["theta"]
    after = theta.detach() - GIVEN["alpha"] * theta.grad
    torch.testing.assert_close(after[0], tensor(EXPECTED["theta_next"]), atol=1e-8, rtol=0)


def test_lists_with_a_label_and_lists_of_one_move_nothing():
    module, step = linear(weight=1.0)
    with moved(module, [*step, rows_of(1, 0.0)], 1.0):
        assert module.scorer.weight[0].tolist() == GIVEN["theta"]
    assert module.scorer.weight.grad is None


def test_equal_responses_have_a_quarter_and_no_slope():
    values = torch.zeros(1, 2, requires_grad=True)
    total = spread(values, torch.ones(1, 2, dtype=torch.bool)).sum()
    assert total.item() == 0.25
    assert not torch.autograd.grad(total, values)[0].any()


def test_rows_that_all_count_are_refused(tmp_path):
    stage = small_stage(tmp_path, "bradley_terry", trainer={"meta_rate": 0.1})
    with pytest.raises(DataError, match="tell apart lists of weight 0, and all training rows count"):
        run_stage(stage, RunFolder(tmp_path))
