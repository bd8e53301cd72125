"""The pairwise losses since SimPO against their vectors: whole steps of lists, values and gradients."""

import pytest
import torch
from torch.testing import assert_close

from alignlab import load_objective
from tests.vectors import newer

NAMES = ("hybrid_dpo", "alpha_po", "alpha_po_limit", "alpha_po_simpo", "simper", "conf_po")


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("name", NAMES)
def test_values_and_gradients(name, dtype):
    expected = newer()["cases"][name]
    fixture = {key: torch.tensor(values, dtype=dtype) for key, values in newer()["fixtures"]["PAIRS"].items()}
    fixture["where"] = fixture["where"].bool()
    leaves = {key: fixture[key].requires_grad_() for key in ("logps", "token_logps")}
    objective = load_objective(expected["objective"], **expected["hparams"])
    wanted = {*objective.signals} | {"where", "labels", "lengths"}
    outcome = objective(**{key: value for key, value in fixture.items() if key in wanted})
    tolerance = {"rtol": 1e-9, "atol": 1e-9} if dtype == torch.float64 else {"rtol": 1e-4, "atol": 1e-5}
    assert_close(outcome.loss, torch.tensor(expected["loss"], dtype=dtype), **tolerance)
    (leaf,) = (key for key in leaves if f"grad_{key}" in expected)
    (gradient,) = torch.autograd.grad(outcome.loss, leaves[leaf])
    assert_close(gradient, torch.tensor(expected[f"grad_{leaf}"], dtype=dtype), **tolerance)


def test_alpha_is_smooth_at_the_limit():
    logps = torch.tensor([[-10.0, -24.0]], dtype=torch.float64)
    facts = {"lengths": torch.tensor([[10.0, 12.0]]).double(), "labels": torch.tensor([[1.0, 0.0]]).double()}
    losses = [
        load_objective("alpha_po", alpha=alpha)(logps=logps, **facts).loss for alpha in (-1e-7, 0.0, 1e-7)
    ]
    assert_close(losses[0], losses[1], rtol=0, atol=1e-6)
    assert_close(losses[2], losses[1], rtol=0, atol=1e-6)


def test_no_unsure_token_no_loss_and_no_gradient():
    token_logps = torch.full((1, 2, 3), -1.0, dtype=torch.float64, requires_grad=True)
    facts = {"lengths": torch.tensor([[3.0, 3.0]]).double(), "labels": torch.tensor([[1.0, 0.0]]).double()}
    loss = load_objective("conf_po")(token_logps=token_logps, **facts).loss
    assert loss.item() == 0
    assert not torch.autograd.grad(loss, token_logps)[0].any()
